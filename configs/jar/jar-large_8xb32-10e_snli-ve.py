# JAR-large on ResNet-101, SNLI-VE.
# Published accuracy of the main model: 84.2 (Table 1). Not trained here.
# The published score follows pre-training on 40 M image-text pairs that are not public.
# The paper calls the larger model main and does not state its size.
_base_ = [
    '../_base_/models/jar-large_r101.py',
    '../_base_/datasets/snli-ve.py',
    '../_base_/schedules/vqa_10e_adamw.py',
    '../_base_/vqa_runtime.py',
]
