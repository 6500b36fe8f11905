# The low-rank ALBEF fine-tuned, from PELA's distillation, on VQA v2.
# Published accuracy on test-dev / test-std: 73.84 / 73.87 (arXiv 2310.10700, Table 5;
# 74.55 / 74.89 for the dense model). Not trained here.
_base_ = './albef-base_vqa_8xb32-8e_vqav2-384px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.VisualQuestionAnswering',
    ratio=3.0,
    exclude=[r'(^|\.)cls\.'],
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/'
        'pela-r3_albef-base_4xb32-20e_image-text-4m-256px/epoch_20.pth',
        prefix='student.',
    ),
)
load_from = None

train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=64)
