# Low-rank TNT-S at ratio 2 in its outer blocks. Distillation compares all tokens, so
# that the last block has to update all of them.
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
