# DAQUAR, questions about indoor photographs of NYU Depth v2, in the format of VQA v2,
# under data/ (or $MMVLFUSION_DATA).
dataset_type = 'mmvlfusion.VQAv2'
data_root = '{{$MMVLFUSION_DATA:data}}/daquar'
image_size = (128, 96)
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True,
)

train_pipeline = [
    dict(type='mmvlfusion.LoadImage', on_error='skip'),
    dict(
        type='RandomResize', scale=image_size, ratio_range=(1.0, 1.3), keep_ratio=False
    ),
    dict(type='RandomCrop', crop_size=image_size[::-1]),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=image_size),
    dict(type='mmvlfusion.PackQuestions'),
]

# No flips, because they would exchange left and right in questions and answers.
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        question_file='annotations/questions_train.json',
        ann_file='annotations/annotations_train.json',
        max_questions=10,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        question_file='annotations/questions_val.json',
        ann_file='annotations/annotations_val.json',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

# The ten answers of a question are one person's answer, repeated.
val_evaluator = dict(type='mmvlfusion.VQAScore', num_annotators=1)
test_evaluator = val_evaluator
