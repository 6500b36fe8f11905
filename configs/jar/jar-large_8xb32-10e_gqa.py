# GQA 83.1 published for the main model,
# after pre-training on 40 M pairs that are not public; not trained here.
_base_ = [
    '../_base_/models/jar-large_r101.py',
    '../_base_/datasets/gqa.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
