"""Functions that differ between releases of PyTorch."""

import torch
from mmengine.utils import digit_version

from mmvlfusion.utils.torch_versions import has_fused_optimizers


def test_fused_optimizers_of_cpus_are_detected():
    is_new = digit_version(torch.__version__) >= digit_version('2.4.0')
    assert has_fused_optimizers('cpu') == is_new
