# Fine-tuning at 384 pixels (Table 9). Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16.py',
    '../_base_/datasets/folders_bs64_384.py',
    '../_base_/schedules/finetune_bs512_sgd.py',
    '../_base_/mmpretrain_runtime.py',
]

checkpoint = '{{$MMVLFUSION_CHECKPOINTS:checkpoints}}/tnt-small-p16_in1k.pth'
model = dict(
    backbone=dict(
        img_size=384,
        init_cfg=dict(
            type='Pretrained', checkpoint=checkpoint, prefix='backbone.')),
    head=dict(num_classes=102, topk=(1, )))

data_preprocessor = dict(num_classes=102)

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='Flowers102',
        data_root='data/flowers102',
        split='trainval',
        pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='Flowers102',
        data_root='data/flowers102',
        split='test',
        pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

default_hooks = dict(
    initial_weights=dict(
        type='mmvlfusion.InitialWeightsHook',
        hint='Source and converter call: configs/tnt/README.md, "Weights".'))
