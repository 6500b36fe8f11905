# Swin-B of two thirds of the size in its blocks, the attention's projection
# kept whole (arXiv 2310.10700, Table 1).
_base_ = 'mmpretrain::_base_/models/swin_transformer/base_224.py'

model = dict(
    _scope_='mmpretrain',
    backbone=dict(
        type='mmvlfusion.LowRank',
        module='SwinTransformer',
        ratio=1.5,
        exclude='swin_without_proj',
    ),
)
