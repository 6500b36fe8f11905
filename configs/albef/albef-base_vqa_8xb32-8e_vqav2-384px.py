# ALBEF of 4 M pairs fine-tuned on VQA v2 and the questions of Visual Genome.
# Published accuracy on test-dev: 74.54 (arXiv 2107.07651, Table 4; 75.84 with 14 M
# pairs). Not trained here.
_base_ = [
    '../_base_/models/albef-base_vit-base-p16.py',
    '../_base_/datasets/albef_augmentation.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/albef_finetune_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    type='mmvlfusion.VisualQuestionAnswering',
    max_text_length=25,
    decoder_from_fusion=True,
    head=dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=dict(model_type='bert', vocab_size=30522, num_hidden_layers=6),
        max_target_length=512,
        answers='data/coco/annotations/answer_list.json',
        num_candidates=128,
        count_first_token_twice=True,
        alpha=0.4,
    ),
)
load_from = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/albef-4m.pth'
# Soft targets ramp up in the first epoch.
custom_hooks = [
    dict(
        type='WarmupParamHook', param_name='alpha', module_name='head', warmup_epochs=1
    )
]

clean_text = dict(type='mmvlfusion.CleanText', keys='question', max_words=50)
train_pipeline = [
    _base_.train_pipeline[0],
    *_base_.augmentation,
    dict(clean_text, max_words=30),
    _base_.train_pipeline[2],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(384, 384)),
    clean_text,
    _base_.test_pipeline[2],
]
# A batch counts questions, not images.
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='mmvlfusion.ImageQuestionJson',
                data_root=root,
                data_prefix='' if root == 'data/coco' else 'images',
                ann_file=f'annotations/{name}.json',
                group=False,
                pipeline=train_pipeline,
            )
            for root, name in (
                ('data/coco', 'vqa_train'),
                ('data/coco', 'vqa_val'),
                ('data/visual_genome', 'vg_qa'),
            )
        ],
    ),
)
val_dataloader = dict(batch_size=16, dataset=dict(group=False, pipeline=test_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(group=False, pipeline=test_pipeline))
