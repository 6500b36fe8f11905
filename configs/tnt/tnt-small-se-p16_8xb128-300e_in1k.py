# TNT-S on ImageNet-1k with squeeze-and-excitation in the outer transformers.
# Published top-1 accuracy: see Table 12 of the paper. Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(with_se=True, cls_only_last_block=False))
