# Captioned synthetic scenes for retrieval. shapes_caption.py has the command.
_base_ = './shapes_caption.py'

data_root = 'data/shapes16k/easy/caption'
image_size = 64
train_pipeline = [
    dict(type='mmvlfusion.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_text_id', 'gt_image_id'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_pipeline = train_pipeline

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='COCORetrieval',
        data_root=data_root,
        data_prefix=dict(img_path='images'),
        ann_file='annotations/captions_train.json',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='COCORetrieval',
        data_root=data_root,
        data_prefix=dict(img_path='images'),
        ann_file='annotations/captions_val.json',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(_delete_=True, type='SequentialSampler', subsample_type='sequential'),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='RetrievalRecall', topk=(1, 5, 10))
test_evaluator = val_evaluator
