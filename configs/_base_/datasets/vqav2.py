# VQA v2 on images of COCO 2014. Testing writes the answers to the test split into the
# file that the evaluation server takes.
_base_ = './questions.py'

dataset_type = 'mmvlfusion.VQAv2'
data_root = 'data/coco'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='train2014',
        question_file='annotations/v2_OpenEnded_mscoco_train2014_questions.json',
        ann_file='annotations/v2_mscoco_train2014_annotations.json',
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='val2014',
        question_file='annotations/v2_OpenEnded_mscoco_val2014_questions.json',
        ann_file='annotations/v2_mscoco_val2014_annotations.json',
    )
)
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix='test2015',
        question_file='annotations/v2_OpenEnded_mscoco_test2015_questions.json',
    )
)

val_evaluator = dict(type='mmvlfusion.VQAScore')
test_evaluator = dict(
    type='mmvlfusion.DumpAnswers', out_file='work_dirs/vqav2_test.json'
)
