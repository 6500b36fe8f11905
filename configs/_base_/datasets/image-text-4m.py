# The 4 M image-text pairs of ALBEF (COCO, Visual Genome, SBU and CC3M) as json lists of
# entries with image and caption, at 256 pixels, with the augmentation of ALBEF.
_base_ = './albef_augmentation.py'

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
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    {{_base_.rand_augment}},
    dict(type='mmvlfusion.CleanText', keys='gt_caption'),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvlfusion.ImageTextJson',
        data_root='data/image_text',
        ann_files=[
            'coco.json',
            'vg.json',
            'cc3m_train.json',
            'cc3m_val.json',
            'sbu.json',
        ],
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
