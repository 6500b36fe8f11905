# Pre-training of ALBEF by three objectives on 14 M image-text pairs, those of 4 M and
# CC12M.
# No published score. Not trained here.
_base_ = './albef-base_8xb64-30e_image-text-4m-256px.py'

train_dataloader = dict(
    dataset=dict(
        ann_files=[
            *['coco.json', 'vg.json', 'cc3m_train.json', 'cc3m_val.json', 'sbu.json'],
            'cc12m.json',
        ]
    )
)
