# A small mPLUG tested on questions about videos of synthetic scenes, zero-shot from
# images.
# No published score. Not tested here.
# Test it with a checkpoint of the config in `_base_`.
_base_ = './mplug-mini_tnt-micro-p8_vqa_1xb16-12e_shapes-10pct-64px.py'

test_dataloader = dict(
    batch_size=25,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.VideoQA',
        data_root='data/shapes16k/easy/video',
        data_prefix='videos/val',
        ann_file='annotations/qa_val.jsonl',
        suffix='.avi',
        pipeline=[
            dict(type='mmvlfusion.LoadVideoFrames', num_frames=4, size=(64, 64)),
            dict(type='mmvlfusion.PackQuestions'),
        ],
    ),
)
test_evaluator = dict(_delete_=True, type='mmvlfusion.VQAScore')
