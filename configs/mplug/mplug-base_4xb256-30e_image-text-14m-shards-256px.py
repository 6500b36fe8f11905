# Pre-training of mPLUG-base on tar archives, as img2dataset writes them. Their indices
# are written once by tools/dataset_converters/index_shards.py.
# No published score. Not trained here.
_base_ = './mplug-base_4xb256-30e_image-text-14m-256px.py'

image_size = 256
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmvlfusion.ShardLocalSampler'),
    dataset=dict(
        _delete_=True,
        type='mmvlfusion.IndexedImageTextShards',
        data_root='data/image_text',
        on_error='skip',
        shards=[
            'coco/{00000..00056}.tar',
            'vg/{00000..00010}.tar',
            'sbu/{00000..00085}.tar',
            'cc3m/{00000..00331}.tar',
            'cc12m/{00000..01242}.tar',
        ],
        pipeline={{_base_.train_pipeline}},
    ),
)
