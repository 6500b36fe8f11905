# mPLUG-base tested on MSRVTT-QA by 16 frames, zero-shot from VQA v2.
# Published accuracy: 21.1 (README of the released code). Not tested here.
_base_ = './mplug-base_vqa_8xb128-8e_vqav2-384px.py'

# As released, the answers of the training questions are ranked instead of generated.
model = dict(
    backbone=dict(img_size=480),
    head=dict(
        answers='data/msrvtt/annotations/msrvtt_qa_train_ans2label.json',
        num_candidates=128,
        count_first_token_twice=True,
    ),
)

test_pipeline = [
    dict(type='mmvlfusion.LoadVideoFrames', num_frames=16, size=(480, 480)),
    dict(type='mmvlfusion.PackQuestions'),
]
# One question at a time, because 16 frames are 14,416 tokens.
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.VideoQA',
        group=False,
        data_root='data/msrvtt',
        data_prefix='videos',
        ann_file='annotations/msrvtt_qa_test.jsonl',
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(_delete_=True, type='mmvlfusion.VQAScore')
