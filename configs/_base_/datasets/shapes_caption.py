# Captioned synthetic scenes of 64 pixels, easy level:
# tools/dataset_converters/shapes.py
#     --tasks vqa segmentation caption grounding --num-train 16000
#     --out data/shapes16k
data_root = 'data/shapes16k/easy/caption'
image_size = 64
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True,
)

# No flips, because captions distinguish left and right.
train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(
        type='PackInputs',
        algorithm_keys=['gt_caption'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_pipeline = train_pipeline

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='COCOCaption',
        data_root=data_root,
        data_prefix=dict(img_path='images'),
        ann_file='annotations/karpathy_train.json',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='COCOCaption',
        data_root=data_root,
        data_prefix=dict(img_path='images'),
        ann_file='annotations/karpathy_val.json',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
