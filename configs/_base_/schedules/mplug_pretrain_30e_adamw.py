# 30 epochs of AdamW, with a learning rate of the visual encoder that is ten times
# smaller (released yaml of mPLUG).
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.02),
    paramwise_cfg=dict(
        bypass_duplicate=True,  # The decoder's embeddings and classifier are tied.
        custom_keys={'backbone': dict(lr_mult=0.1)},
    ),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=2000),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        T_max=30,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=30)
auto_scale_lr = dict(base_batch_size=1024)
