# The low-rank ALBEF fine-tuned, from PELA's distillation, for retrieval on COCO.
# Published R@1 of texts / images: 71.6 / 55.1 (arXiv 2310.10700, Table 4; 72.6 / 54.9
# for the dense model). Not trained here.
_base_ = './albef-base_retrieval_8xb32-5e_coco-384px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.ImageTextRetrieval',
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
