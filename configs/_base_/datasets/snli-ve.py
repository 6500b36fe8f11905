# SNLI-VE: visual entailment on images of Flickr30k.
_base_ = './questions.py'

dataset_type = 'mmvlfusion.SNLIVE'
data_root = 'data/flickr30k'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_train.jsonl',
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_dev.jsonl',
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/snli_ve_test.jsonl',
    )
)

val_evaluator = dict(type='mmvlfusion.ExactMatchAccuracy', prefix='SNLI-VE')
test_evaluator = val_evaluator
