# JAR-base on ResNet-50, GQA.
# Published accuracy of the base model: 81.9 (Table 1). Not trained here.
# The published score follows pre-training on 40 M image-text pairs that are not public.
_base_ = [
    '../_base_/models/jar-base_r50.py',
    '../_base_/datasets/gqa.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
