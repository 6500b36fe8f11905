# Low-rank Swin-B at ratio 1.5 in its blocks; the attention's output projection stays
# dense (arXiv 2310.10700, Table 1).
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
