# mmpretrain's LoRA on the dense ViT on CIFAR-10.
# No published score. Reached here: top-1 accuracy 55.8.
# Set load_from to the checkpoint of the dense model, and in
# model.backbone.module.init_cfg set type=Pretrained, checkpoint (the same file) and
# prefix=backbone.
_base_ = './vit-lite-p4_1xb64-30e_cifar10-32px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.LoRAModel',
        module={{_base_.model.backbone}},
        alpha=16,
        rank=16,
        targets=[dict(type='qkv'), dict(type='proj')],
    )
)
