# TNT-S of half the size in its outer blocks. Distillation compares all
# sentences of the last block too, which a detector will read.
_base_ = './tnt-small-p16.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmvlfusion.TNT',
        ratio=2.,
        exclude='tnt',
        full_last_block=True))
