# The low-rank small ALBEF fine-tuned, from PELA's distillation, for visual
# entailment.
# No published score. Not trained here.
_base_ = './albef-mini_tnt-micro-p8_snli-ve_1xb16-2e_shapes-64px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.VisualQuestionAnswering',
    ratio=3.0,
    exclude=[r'\.inner\.', 'to_sentence', 'classifier'],
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/'
        'pela-r3_albef-mini_tnt-micro-p8_1xb64-1e_shapes-64px/epoch_1.pth',
        prefix='student.',
    ),
)
load_from = None
