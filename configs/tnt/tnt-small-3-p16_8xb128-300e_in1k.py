# TNT-S-3 on ImageNet-1k: TNT-S with inner transformers in two of its twelve blocks
# only.
# Published top-1 accuracy: see Table 5 of the paper. Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(inner_blocks=(0, 5)))
