# Sharded training (FSDP) by mmengine's flexible runner, see docs/guides/scaling.md.
runner_type = 'FlexibleRunner'
strategy = dict(type='mmvlfusion.ShardedStrategy')
