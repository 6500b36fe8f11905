# The low-rank ALBEF fine-tuned, from PELA's distillation, for SNLI-VE.
# Published accuracy on the dev / test set: 78.55 / 78.66 (arXiv 2310.10700, Table 5;
# 79.29 / 79.79 for the dense model). Not trained here.
_base_ = './albef-base_snli-ve_8xb32-5e_384px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.VisualQuestionAnswering',
    ratio=3.0,
    exclude=['classifier'],
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
