# VQA v2 79.20 published,
# after pre-training on 40 M pairs that are not public; not trained here.
_base_ = [
    '../_base_/models/jar-base_r50.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
