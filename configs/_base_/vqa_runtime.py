# The runtime of models that answer questions.
_base_ = './mmpretrain_finetune_runtime.py'

default_hooks = dict(visualization=dict(type='mmvlfusion.QuestionVisualizationHook'))
