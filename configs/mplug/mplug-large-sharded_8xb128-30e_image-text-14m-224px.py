# Pre-training of mPLUG-large with parameters that are sharded over the processes.
# No published score. Not trained here.
_base_ = [
    './mplug-large_8xb128-30e_image-text-14m-224px.py',
    '../_base_/sharded_runtime.py',
]
