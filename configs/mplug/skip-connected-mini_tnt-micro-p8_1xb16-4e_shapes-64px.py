# mPLUG's skip-connected fusion at the size of the small JAR, on questions about
# synthetic shapes.
# No published score. Reached here: accuracy 87.5.
# The backbone comes from fcn_tnt-micro-p8_1xb32-4k_shapes-64px.
_base_ = [
    '../_base_/models/image-text-mini_tnt-micro-p8.py',
    '../_base_/datasets/shapes_vqa.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/fcn_tnt-micro-p8_1xb32-4k_shapes-64px/iter_4000.pth',
            prefix='backbone.',
        )
    ),
    fusion=dict(
        type='mmvlfusion.SkipConnectedFusion',
        embed_dims=96,
        image_channels=96,
        num_heads=4,
        ffn_ratio=2.0,
        num_layers=2,
        stride=1,
    ),
)
randomness = dict(seed=0)
