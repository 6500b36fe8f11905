# TNT-B fine-tuned from ImageNet weights on iNaturalist 2019 at 384 pixels.
# Published top-1 accuracy: see Table 9 of the paper. Not trained here.
_base_ = './tnt-small-p16_8xb64-100e_inat2019-384px.py'

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-base-p16_in1k.pth'
model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=640),
)
