# A linear classifier of the cells of a narrow ResNet-18: kinds, colours and textures of
# cluttered synthetic shapes.
# No published score. Trained here; its own score was not recorded.
# It continues fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px, whose backbone has
# learned kinds only and ignores colours. The small JAR for such scenes starts from its
# backbone. Data:
#   tools/dataset_converters/shapes.py --level standard --num-train 16000 \
#       --num-questions 12 --attribute-maps --tasks segmentation vqa \
#       --out data/shapes16k
_base_ = './fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px.py'

metainfo = dict(
    classes=(
        *_base_.metainfo.classes,
        'red',
        'green',
        'blue',
        'yellow',
        'purple',
        'orange',
        'cyan',
        'pink',
        'plain',
        'striped',
        'dotted',
        'checked',
    ),
    palette=[
        *_base_.metainfo.palette,
        *((20 * i, 250 - 20 * i, 30 * (i % 8)) for i in range(12)),
    ],
)
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/'
            'fcn_resnet-micro_1xb32-2.5k_shapes-standard-128px/iter_2500.pth',
            prefix='backbone.',
        )
    ),
    decode_head=dict(num_classes=21, loss_decode=dict(class_weight=[0.3] + 20 * [1.0])),
)

# A cell has a kind, a colour and a texture, and a label map has one of the three. Maps
# of kinds, which are the hardest to learn, are the most frequent.
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                _base_.train_dataloader.dataset,
                metainfo=metainfo,
                data_prefix=dict(
                    img_path='images/training', seg_map_path=f'{folder}/training'
                ),
                indices=number,
            )
            for folder, number in (
                ('annotations', 12000),
                ('annotations_color', 8000),
                ('annotations_texture', 8000),
            )
        ],
    ),
)
val_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = val_dataloader

param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=3900),
]
train_cfg = dict(max_iters=4000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=1000))
