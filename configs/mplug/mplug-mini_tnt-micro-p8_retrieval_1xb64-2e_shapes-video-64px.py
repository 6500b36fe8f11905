# A small mPLUG tested on retrieval of videos of synthetic scenes, zero-shot from
# images.
# No published score. Not tested here.
# Test it with a checkpoint of the config in `_base_`.
_base_ = './mplug-mini_tnt-micro-p8_retrieval_1xb64-2e_shapes-64px.py'

test_dataloader = dict(
    batch_size=25,
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.VideoTextRetrieval',
        data_root='data/shapes16k/easy/video',
        data_prefix='videos/val',
        ann_file='annotations/captions_val.jsonl',
        suffix='.avi',
        pipeline=[
            dict(type='mmvlfusion.LoadVideoFrames', num_frames=4, size=(64, 64)),
            dict(
                type='PackInputs',
                algorithm_keys=['text', 'gt_text_id', 'gt_image_id'],
                meta_keys=['image_id', 'img_path'],
            ),
        ],
    ),
)
