# A small JAR on DAQUAR's questions about 794 indoor photographs.
# No published score. Reached here: accuracy 20.6.
# The backbone comes from fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px.
_base_ = [
    '../_base_/models/jar-mini_resnet-micro.py',
    '../_base_/datasets/daquar.py',
    '../_base_/schedules/vqa_mini_adamw.py',
    '../_base_/vqa_runtime.py',
]

model = dict(
    tokenizer='data/daquar_tokenizer',
    max_text_length=40,
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/'
            'fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px/iter_2500.pth',
            prefix='backbone.',
        )
    ),
    text_encoder=dict(
        config=dict(
            max_position_embeddings=40,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        )
    ),
    fusion=dict(drop_rate=0.1),
    head=dict(
        max_length=23,
        decoder=dict(
            max_position_embeddings=24,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        ),
    ),
)

param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=40)]
train_cfg = dict(max_epochs=40, val_interval=5)
