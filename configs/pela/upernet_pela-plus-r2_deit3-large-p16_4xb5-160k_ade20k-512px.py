# UPerNet on PELA's low-rank DeiT-III-L (ratio 2) as PELA+: a batch of 20 instead of 16.
# No published score. Not trained here.
# Table 9 has only the other two backbones.
_base_ = './upernet_pela-r2_deit3-large-p16_4xb4-160k_ade20k-512px.py'

train_dataloader = dict(batch_size=5)
auto_scale_lr = dict(base_batch_size=20)
