# TNT-S fine-tuned from ImageNet weights on iNaturalist 2019 at 384 pixels.
# Published top-1 accuracy: see Table 9 of the paper. Not trained here.
_base_ = [
    '../_base_/models/tnt-small-p16_384px.py',
    '../_base_/datasets/folders_384px.py',
    '../_base_/schedules/classification_finetune_sgd.py',
    '../_base_/mmpretrain_finetune_runtime.py',
]

model = dict(head=dict(num_classes=1010))
data_preprocessor = dict(num_classes=1010)

# Class folders, as {train,val}/<class id>/*.jpg.
train_dataloader = dict(dataset=dict(data_root='data/inaturalist2019'))
val_dataloader = dict(dataset=dict(data_root='data/inaturalist2019'))
test_dataloader = val_dataloader
