# JAR-base on ResNet-50, VQA v2.
# Published accuracy of the base model: 79.20 (Table 1). Not trained here.
# The published score follows pre-training on 40 M image-text pairs that are not public.
_base_ = [
    '../_base_/models/jar-base_r50.py',
    '../_base_/datasets/vqav2.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
