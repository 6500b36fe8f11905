# SNLI-VE 82.1 published,
# after pre-training on 40 M pairs that are not public; not trained here.
_base_ = [
    '../_base_/models/jar-base_r50.py',
    '../_base_/datasets/snli-ve.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
