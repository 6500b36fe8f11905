# 30 epochs of AdamW with a warm-up of 2,000 steps, and a learning rate that is
# constant within an epoch (released yaml of ALBEF).
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.02),
    # The word embeddings and the masked language head are tied.
    paramwise_cfg=dict(bypass_duplicate=True),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2000),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, T_max=30),
]

train_cfg = dict(by_epoch=True, max_epochs=30)
auto_scale_lr = dict(base_batch_size=512)
