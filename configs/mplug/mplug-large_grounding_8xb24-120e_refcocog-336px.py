# RefCOCOg, accuracy 85.88 (val) published; not trained here.
_base_ = './mplug-large_grounding_8xb24-120e_refcoco-336px.py'

files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = dict(dataset=dict(split='test', **files))
