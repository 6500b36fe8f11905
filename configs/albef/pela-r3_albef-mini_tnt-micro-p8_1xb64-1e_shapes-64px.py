# PELA on the pre-trained small ALBEF at ratio 3, the ratio of the paper.
# No published score. Not trained here.
_base_ = './albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px.py'

# The head of masked language modelling and the projections stay dense, as released.
model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student=dict(
        type='mmvlfusion.LowRank',
        module={{_base_.model}},
        ratio=3.0,
        exclude=[r'\.inner\.', 'to_sentence', '_proj', r'\.masked_language\.'],
    ),
    teacher_ckpt='work_dirs/albef-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth',
    features=[
        r'backbone\.layers\.\d+\.outer',
        r'text_encoder(\.encoder)+\.(embeddings|layer\.\d+)',
        r'fusion\.layers\.\d+',
    ],
    feature_weight=0.1,
    feature_pass='tensor',
    form='code',
)
custom_hooks = []

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=1)]
train_cfg = dict(max_epochs=1)
