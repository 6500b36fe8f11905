# 10 epochs of AdamW for a fusion from scratch between a pre-trained backbone and a
# pre-trained text encoder, whose learning rates are ten times smaller. JAR's schedule
# is not published.
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        bypass_duplicate=True,  # The decoder's embeddings and classifier are tied.
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'text_encoder': dict(lr_mult=0.1),
            'latents': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=1.0),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-2,
        by_epoch=True,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=1,
        T_max=9,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)
