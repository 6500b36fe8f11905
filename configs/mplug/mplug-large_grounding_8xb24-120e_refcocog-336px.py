# mPLUG-large fine-tuned for visual grounding on RefCOCOg.
# Published accuracy on the validation set: 85.88 (README of the released code). Not
# trained here.
_base_ = './mplug-large_grounding_8xb24-120e_refcoco-336px.py'

files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = dict(dataset=dict(split='test', **files))
