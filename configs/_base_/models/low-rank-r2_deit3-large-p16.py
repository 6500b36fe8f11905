# DeiT-III-L of half the size in its blocks (arXiv 2310.10700, Table 1): a ViT
# with layer scale. (mmpretrain's DeiT3 feeds both halves of a block through the
# first norm, so that published weights do not give their features.)
_base_ = './low-rank-r2_deit-base-p16.py'

model = dict(
    backbone=dict(arch='large', layer_scale_init_value=1e-6, drop_path_rate=0.45),
    head=dict(in_channels=1024),
)
