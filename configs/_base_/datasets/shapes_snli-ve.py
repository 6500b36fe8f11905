# Statements about synthetic scenes in the format of SNLI-VE: add `entailment` to the
# --tasks of the command in shapes_vqa.py.
_base_ = './shapes_vqa.py'

data_root = 'data/shapes16k/easy/snli_ve'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.SNLIVE',
        data_root=data_root,
        data_prefix='images/train',
        ann_file='annotations/snli_ve_train.jsonl',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.SNLIVE',
        data_root=data_root,
        data_prefix='images/val',
        ann_file='annotations/snli_ve_val.jsonl',
        pipeline={{_base_.test_pipeline}},
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True, type='mmvlfusion.ExactMatchAccuracy', prefix='SNLI-VE'
)
test_evaluator = val_evaluator
