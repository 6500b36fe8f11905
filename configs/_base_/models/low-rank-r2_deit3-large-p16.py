# Low-rank DeiT-III-L at ratio 2 in its blocks (arXiv 2310.10700, Table 1): a ViT with
# layer scale. mmpretrain's DeiT3 is not used, because it applies the first norm to both
# halves of a block, so that the published weights do not give the published features.
_base_ = './low-rank-r2_deit-base-p16.py'

model = dict(
    backbone=dict(arch='large', layer_scale_init_value=1e-6, drop_path_rate=0.45),
    head=dict(in_channels=1024),
)
