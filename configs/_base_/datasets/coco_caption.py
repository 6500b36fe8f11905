# Karpathy's split of COCO's captions, of which all of an image's are references.
_base_ = 'mmpretrain::_base_/datasets/coco_caption.py'

image_size = 384
data_preprocessor = dict(
    _delete_=True,
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[122.770938, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
    to_rgb=True,
)

train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='CleanCaption', keys='gt_caption'),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(
        type='Resize',
        scale=(image_size, image_size),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(ann_file='annotations/coco_karpathy_test.json', pipeline=test_pipeline)
)

val_evaluator = dict(_delete_=True, type='mmvlfusion.CaptionMetric')
test_evaluator = val_evaluator
