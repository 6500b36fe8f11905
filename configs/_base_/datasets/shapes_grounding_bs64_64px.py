# Expressions that refer to synthetic shapes; see shapes_caption_bs64_64px.py.
data_root = 'data/shapes16k/easy/grounding'
image_size = 64
data_preprocessor = dict(
    type='mmvlfusion.VQADataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True)

# No flips: expressions tell left from right.
train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_bboxes'],
        meta_keys=['image_id', 'img_path', 'img_shape', 'scale_factor']),
]
test_pipeline = train_pipeline

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/instances_train.json',
        split_file='annotations/refs_train.json',
        split='train',
        pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/instances_val.json',
        split_file='annotations/refs_val.json',
        split='val',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type='VisualGroundingMetric')
test_evaluator = val_evaluator
