# Referring expressions for synthetic shapes. shapes_caption.py has the command.
_base_ = './shapes_caption.py'

data_root = 'data/shapes16k/easy/grounding'
image_size = 64

# No flips, because expressions distinguish left and right.
train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_bboxes'],
        meta_keys=['image_id', 'img_path', 'img_shape', 'scale_factor'],
    ),
]
test_pipeline = train_pipeline

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/instances_train.json',
        split_file='annotations/refs_train.json',
        split='train',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/instances_val.json',
        split_file='annotations/refs_val.json',
        split='val',
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(type='VisualGroundingMetric')
test_evaluator = val_evaluator
