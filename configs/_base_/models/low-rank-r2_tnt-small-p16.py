# TNT-S of half the size in its outer blocks.
_base_ = './tnt-small-p16.py'

model = dict(
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='mmvlfusion.TNT',
        ratio=2.,
        exclude='tnt'))
