# Squeeze-and-excitation in the outer transformers (Table 12). Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(with_se=True, cls_only_last_block=False))
