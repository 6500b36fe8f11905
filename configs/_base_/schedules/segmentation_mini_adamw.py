# AdamW for small segmentation models on synthetic shapes. A config sets the number
# of iterations and the learning rate schedule.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'cls_token': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
            'class_embed': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=1.0),
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
