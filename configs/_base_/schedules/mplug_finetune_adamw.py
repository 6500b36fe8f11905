# AdamW as mPLUG uses it for VQA: 8 epochs, and a learning rate of the visual encoder
# that is six times smaller. Other tasks override both.
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-5, weight_decay=0.02),
    paramwise_cfg=dict(
        bypass_duplicate=True,  # The decoder's embeddings and classifier are tied.
        custom_keys={'backbone': dict(lr_mult=1 / 6)},
    ),
)

param_scheduler = dict(
    type='CosineAnnealingLR',
    eta_min=1e-6,
    by_epoch=True,
    T_max=8,
    convert_to_iter_based=True,
)

train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
