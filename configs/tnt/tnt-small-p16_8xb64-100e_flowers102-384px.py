# TNT-S fine-tuned from ImageNet weights on Flowers-102 at 384 pixels.
# Published top-1 accuracy: see Table 9 of the paper. Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16_384px.py',
    '../_base_/datasets/folders_384px.py',
    '../_base_/schedules/classification_finetune_sgd.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(head=dict(num_classes=102))
data_preprocessor = dict(num_classes=102)

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='Flowers102',
        data_root='data/flowers102',
        split='trainval',
        pipeline={{_base_.train_pipeline}},
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='Flowers102',
        data_root='data/flowers102',
        split='test',
        pipeline={{_base_.test_pipeline}},
    )
)
test_dataloader = val_dataloader
