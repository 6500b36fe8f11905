# PELA on the pre-trained ALBEF of 4 M pairs at ratio 3, as released for four GPUs.
# No published score. Not trained here.
_base_ = './albef-base_8xb64-30e_image-text-4m-256px.py'

# The head of masked language modelling and the projections stay dense, as released.
model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student=dict(
        type='mmvlfusion.LowRank',
        module={{_base_.model}},
        ratio=3.0,
        exclude=['_proj', r'\.masked_language\.'],
    ),
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-4m.pth',
    features=[
        r'backbone\.(drop_after_pos|layers\.\d+)',
        r'text_encoder(\.encoder)+\.(embeddings|layer\.\d+)',
        r'fusion\.layers\.\d+',
    ],
    feature_weight=0.1,
    feature_pass='tensor',
    form='code',
)
custom_hooks = []

train_dataloader = dict(batch_size=32)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=1000),
    dict(_base_.param_scheduler[1], T_max=20),
]
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(base_batch_size=128)
