# The 14 M image-text pairs of mPLUG (COCO, Visual Genome, SBU, CC3M and CC12M) as json
# lists of entries with image and caption, at 256 pixels.
data_root = 'data/image_text'
image_size = 256

train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmvlfusion.CleanText', keys='gt_caption'),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.ImageTextJson',
        data_root=data_root,
        ann_files=['coco.json', 'vg.json', 'sbu.json', 'cc3m.json', 'cc12m.json'],
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
