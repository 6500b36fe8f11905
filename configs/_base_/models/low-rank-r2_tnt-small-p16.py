# TNT-S of half the size in its outer blocks; distillation compares all tokens.
_base_ = './tnt-small-p16.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmvlfusion.TNT',
        ratio=2.0,
        exclude='tnt',
        cls_only_last_block=False,
    )
)
