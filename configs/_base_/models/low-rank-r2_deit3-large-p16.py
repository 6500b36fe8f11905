# DeiT-III-L of half the size in its blocks (arXiv 2310.10700, Table 1).
_base_ = 'mmpretrain::_base_/models/deit3/deit3-large-p16-224.py'

model = dict(
    _scope_='mmpretrain',
    backbone=dict(
        type='mmvlfusion.LowRank', module='DeiT3', ratio=2., exclude='vit'))
