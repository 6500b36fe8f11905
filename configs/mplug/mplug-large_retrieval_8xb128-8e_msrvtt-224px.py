# mPLUG-large tested on MSR-VTT retrieval by 12 frames, zero-shot from COCO.
# Published R@1 of videos: 38.1 (README of the released code). Not tested here.
_base_ = './mplug-large_retrieval_8xb128-8e_coco-336px.py'

model = dict(
    max_text_length=35,
    num_candidates=128,
    add_similarity=True,
    backbone=dict(img_size=224),
)

test_pipeline = [
    dict(type='mmvlfusion.LoadVideoFrames', num_frames=12, size=(224, 224)),
    dict(type='mmvlfusion.CleanText', keys='text', max_words=40),
    dict(
        type='PackInputs',
        algorithm_keys=['text', 'gt_text_id', 'gt_image_id'],
        meta_keys=['image_id', 'img_path'],
    ),
]
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.VideoTextRetrieval',
        data_root='data/msrvtt',
        data_prefix='videos',
        ann_file='annotations/msrvtt_test.jsonl',
        pipeline=test_pipeline,
    ),
)
