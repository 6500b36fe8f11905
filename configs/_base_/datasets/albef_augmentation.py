# RandAugment of ALBEF: two of nine operations, and none, each with a probability of
# one half, at level 7 of 10.
policies = [
    dict(type='AutoContrast', prob=0.5),
    dict(type='Equalize', prob=0.5),
    dict(
        type='Brightness',
        magnitude_key='magnitude',
        magnitude_range=(0, 0.51),
        random_negative_prob=0.0,
        prob=0.5,
    ),
    dict(
        type='Sharpness',
        magnitude_key='magnitude',
        magnitude_range=(0, 0.51),
        random_negative_prob=0.0,
        prob=0.5,
    ),
    dict(type='Rotate', magnitude_key='angle', magnitude_range=(0, 30), prob=0.5),
    *[
        dict(
            type='Shear',
            magnitude_key='magnitude',
            magnitude_range=(0, 0.3),
            direction=direction,
            prob=0.5,
        )
        for direction in ('horizontal', 'vertical')
    ],
    *[
        dict(
            type='Translate',
            magnitude_key='magnitude',
            magnitude_range=(0, 0.026),
            direction=direction,
            prob=0.5,
        )
        for direction in ('horizontal', 'vertical')
    ],
    dict(type='AutoContrast', prob=0.0),
]
rand_augment = dict(
    type='RandAugment', policies=policies, num_policies=2, magnitude_level=7
)
# Crop, flip and RandAugment of the fine-tuning at 384 pixels.
augmentation = [
    dict(
        type='RandomResizedCrop',
        scale=384,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    rand_augment,
]
