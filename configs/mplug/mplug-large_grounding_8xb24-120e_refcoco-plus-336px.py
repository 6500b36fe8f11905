# mPLUG-large fine-tuned for visual grounding on RefCOCO+.
# Published accuracy on the validation set: 86.02 (README of the released code). Not
# trained here.
_base_ = './mplug-large_grounding_8xb24-120e_refcoco-336px.py'

files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=files)
test_dataloader = dict(dataset=dict(split='testA', **files))
