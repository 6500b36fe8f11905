# Statements about synthetic scenes in SNLI-VE's format:
# tools/dataset_converters/shapes.py with entailment among its --tasks; see
# shapes_vqa.py.
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
