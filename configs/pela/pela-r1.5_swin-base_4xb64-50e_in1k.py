# PELA's intermediate pre-training of Swin-B at ratio 1.5, without the attention's
# output projection.
# Published top-1 accuracy: 82.5 (Table 1); dense model 83.5. Not trained here.
# As in the released code, L_fd compares the pooled feature; features='swin' compares
# blocks.
_base_ = [
    '../_base_/models/low-rank-r1.5_swin-base.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/pela_adamw.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(
    _delete_=True,
    type='mmvlfusion.PELADistiller',
    student={{_base_.model}},
    teacher_ckpt='{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/swin-base_in1k.pth',
    features='pooled',
    radius=0.0,
    form='code',
)

optim_wrapper = dict(
    optimizer=dict(lr=1.25e-5),
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        }
    ),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.004,
        by_epoch=True,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=5e-9,
        by_epoch=True,
        begin=3,
        convert_to_iter_based=True,
    ),
]
