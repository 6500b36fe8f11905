# ALBEF of 4 M pairs fine-tuned for retrieval on Flickr30k.
# Published R@1 of texts / images: 94.3 / 82.8 (arXiv 2107.07651, Table 2; 95.9 / 85.6
# with 14 M pairs). Not trained here.
_base_ = './albef-base_retrieval_8xb32-5e_coco-384px.py'

model = dict(num_candidates=128)

param_scheduler = dict(T_max=10)
train_cfg = dict(max_epochs=10)

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
