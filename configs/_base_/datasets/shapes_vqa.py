# Questions about synthetic scenes of 64 pixels; one sample has all questions of an
# image:
# tools/dataset_converters/shapes.py --tasks vqa segmentation \
#     --num-train 16000 --out data/shapes16k
dataset_type = 'mmvlfusion.VQAv2'
data_root = 'data/shapes16k/easy/vqa'
image_size = 64
data_preprocessor = dict(
    type='mmvlfusion.ImageTextDataPreprocessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True,
)

train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(type='mmvlfusion.PackQuestions'),
]
test_pipeline = train_pipeline

# Small images load faster in the main process where there are two cores.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images/train',
        question_file='annotations/questions_train.json',
        ann_file='annotations/annotations_train.json',
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
        type=dataset_type,
        data_root=data_root,
        data_prefix='images/val',
        question_file='annotations/questions_val.json',
        ann_file='annotations/annotations_val.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmvlfusion.VQAScore', by=('question_type',))
test_evaluator = val_evaluator
