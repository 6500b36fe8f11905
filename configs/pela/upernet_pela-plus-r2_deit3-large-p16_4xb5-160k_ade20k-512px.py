# PELA+: the memory that is saved goes into a batch of 20 instead of 16.
# No published score (Table 9 has the other two). Not trained here.
_base_ = './upernet_pela-r2_deit3-large-p16_4xb4-160k_ade20k-512px.py'

train_dataloader = dict(batch_size=5)
auto_scale_lr = dict(base_batch_size=20)
