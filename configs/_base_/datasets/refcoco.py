# RefCOCO. The files of RefCOCO+ and RefCOCOg have the same structure.
image_size = 336

# No flips, because expressions distinguish left and right.
train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='Resize',
        scale=(image_size, image_size),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_bboxes'],
        meta_keys=['image_id', 'img_path', 'img_shape', 'scale_factor'],
    ),
]
test_pipeline = [step for step in train_pipeline if step['type'] != 'ColorJitter']

data_root = 'data/coco'
train_dataloader = dict(
    batch_size=24,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='train2014',
        ann_file='refcoco/instances.json',
        split_file='refcoco/refs(unc).p',
        split='train',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.RefCOCO',
        data_root=data_root,
        data_prefix='train2014',
        ann_file='refcoco/instances.json',
        split_file='refcoco/refs(unc).p',
        split='val',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(val_dataloader['dataset'], split='testA')
)

val_evaluator = dict(type='VisualGroundingMetric')
test_evaluator = val_evaluator
