from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .matrix_decay_optim_wrapper_constructor import MatrixDecayOptimWrapperConstructor

__all__ = ['CPUAmpOptimWrapper', 'MatrixDecayOptimWrapperConstructor']
