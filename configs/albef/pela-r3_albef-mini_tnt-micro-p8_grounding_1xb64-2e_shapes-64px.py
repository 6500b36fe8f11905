# The low-rank small ALBEF fine-tuned, from PELA's distillation, for weakly
# supervised grounding.
# No published score. Not trained here.
_base_ = './albef-mini_tnt-micro-p8_grounding_1xb64-2e_shapes-64px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.GradCAMGrounding',
    ratio=3.0,
    exclude=[r'\.inner\.', 'to_sentence', '_proj'],
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/'
        'pela-r3_albef-mini_tnt-micro-p8_1xb64-1e_shapes-64px/epoch_1.pth',
        prefix='student.',
    ),
)
load_from = None
