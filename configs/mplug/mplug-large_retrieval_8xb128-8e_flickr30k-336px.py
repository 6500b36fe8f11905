# mPLUG-large fine-tuned for retrieval on Flickr30k.
# Published R@1 of texts / images: 97.6 / 88.4 (README of the released code). Not
# trained here.
_base_ = './mplug-large_retrieval_8xb128-8e_coco-336px.py'

flickr30k = dict(
    type='Flickr30kRetrieval',
    data_root='data/flickr30k',
    ann_file='annotations/dataset_flickr30k.json',
    data_prefix='images',
)
train_dataloader = dict(
    dataset=dict(
        flickr30k, _delete_=True, split='train', pipeline=_base_.train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(
        flickr30k,
        _delete_=True,
        split='val',
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        flickr30k,
        _delete_=True,
        split='test',
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
