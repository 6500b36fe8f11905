# Flickr30k's images and captions for retrieval.
_base_ = './coco_retrieval.py'

flickr30k = dict(
    type='Flickr30kRetrieval',
    data_root='data/flickr30k',
    ann_file='annotations/dataset_flickr30k.json',
    data_prefix='images',
)

train_dataloader = dict(
    dataset=dict(
        flickr30k, _delete_=True, split='train', pipeline={{_base_.train_pipeline}}
    )
)
val_dataloader = dict(
    dataset=dict(
        flickr30k,
        _delete_=True,
        split='val',
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)
test_dataloader = dict(
    dataset=dict(
        flickr30k,
        _delete_=True,
        split='test',
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    )
)
