# PELA on the pre-trained small mPLUG at ratio 3, the ratio that the paper uses for
# ALBEF.
# No published score. Reached here: VQA accuracy 81.8 after fine-tuning on a tenth of
# the questions.
_base_ = './mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px.py'

# The heads of the objectives stay dense, as in the paper's ALBEF.
model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student=dict(
        type='mmvlfusion.LowRank',
        module={{_base_.model}},
        ratio=3.0,
        exclude=[r'\.inner\.', 'to_sentence', r'(^|\.)cls\.', r'(^|\.)objectives\.'],
    ),
    teacher_ckpt='work_dirs/mplug-mini_tnt-micro-p8_1xb64-4e_shapes-64px/epoch_4.pth',
    features=[
        r'backbone\.layers\.\d+\.outer',
        r'text_encoder(\.encoder)+\.layer\.\d+',
        r'fusion\.layers\.\d+',
    ],
    feature_pass='tensor',
    form='code',
)
custom_hooks = []

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=1)]
train_cfg = dict(max_epochs=1)
