# LoRA (mmpretrain's) on the dense model. Set load_from, and in
# model.backbone.module.init_cfg type=Pretrained, checkpoint (the same file) and
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
