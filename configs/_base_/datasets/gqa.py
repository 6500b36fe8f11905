# GQA, balanced questions. Testing answers all questions of the evaluation server's
# submission file, which has more of them than the test split.
_base_ = './questions.py'

dataset_type = 'mmvlfusion.GQA'
data_root = 'data/gqa'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/train_balanced_questions.json',
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/testdev_balanced_questions.json',
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='images',
        ann_file='annotations/submission_all_questions.json',
    )
)

val_evaluator = dict(type='mmvlfusion.ExactMatchAccuracy', by=('question_type',))
test_evaluator = dict(
    type='mmvlfusion.DumpAnswers', out_file='work_dirs/gqa_test.json', form='gqa'
)
