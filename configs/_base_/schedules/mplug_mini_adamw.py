# The schedule of the small VQA models for batches of 64 captions.
_base_ = './vqa_mini_adamw.py'

auto_scale_lr = dict(base_batch_size=64)
