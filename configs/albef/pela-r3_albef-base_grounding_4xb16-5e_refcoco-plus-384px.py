# The low-rank ALBEF fine-tuned, from PELA's distillation, for grounding on RefCOCO+.
# Published accuracy on val / testA / testB: 57.06 / 65.85 / 45.10 (arXiv 2310.10700,
# Table 6; 57.94 / 65.07 / 45.75 for the dense model). Not trained here.
_base_ = './albef-base_grounding_8xb32-5e_refcoco-plus-384px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.GradCAMGrounding',
    ratio=3.0,
    exclude=['_proj'],
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
