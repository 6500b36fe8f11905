# The runtime of configs that start from a checkpoint, on lists of images that the
# host does not look for.
_base_ = './mmpretrain_finetune_runtime.py'

default_hooks = dict(image_files=dict(type='mmvlfusion.ImageFilesHook'))
