# Classes of synthetic shapes in folders, at 32 pixels.
_base_ = './cifar10_folders.py'

data_root = 'data/shapes/easy/classification'
data_preprocessor = dict(num_classes=8)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, data_prefix='val'))
test_dataloader = val_dataloader
