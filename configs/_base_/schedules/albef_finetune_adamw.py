# AdamW as ALBEF uses it for VQA: 8 epochs with a warm-up of 400 steps, and a learning
# rate that is constant within an epoch. Other tasks override epochs and rates.
optim_wrapper = dict(
    constructor='mmvlfusion.MatrixDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-5, weight_decay=0.02),
    # The embeddings and the classifier of the decoder are tied.
    paramwise_cfg=dict(bypass_duplicate=True),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.5, by_epoch=False, end=400),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, T_max=8),
]

train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)
