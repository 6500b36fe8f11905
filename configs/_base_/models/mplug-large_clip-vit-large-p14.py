# mPLUG-large as released: CLIP's ViT-L/14, and a stride of 6, by which no layer of the
# fusion is connected.
_base_ = './mplug-base_clip-vit-base-p16.py'

model = dict(
    backbone=dict(arch='large', img_size=224, patch_size=14),
    fusion=dict(image_channels=1024, project_image=True, stride=6),
)
