# The low-rank small ALBEF fine-tuned, from PELA's distillation, on a tenth of
# the questions.
# No published score. Not trained here.
_base_ = './albef-mini_tnt-micro-p8_vqa_1xb16-12e_shapes-10pct-64px.py'

model = dict(
    type='mmvlfusion.LowRank',
    module='mmvlfusion.VisualQuestionAnswering',
    ratio=3.0,
    exclude=[r'\.inner\.', 'to_sentence', r'(^|\.)cls\.'],
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/'
        'pela-r3_albef-mini_tnt-micro-p8_1xb64-1e_shapes-64px/epoch_1.pth',
        prefix='student.',
    ),
)
load_from = None
