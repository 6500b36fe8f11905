# TNT-S-4: inner transformers in some blocks only (Table 5). Not trained here.
_base_ = './tnt-small-p16_8xb128-300e_in1k.py'

model = dict(backbone=dict(inner_blocks=(0,)))
