from .base import AdaptedModel
from .lora import LoRALinear, LoRAMultiheadAttention, build_lora, merge_lora_
from .mona import MonaAdapter, build_mona

__all__ = [
    'AdaptedModel',
    'LoRALinear',
    'LoRAMultiheadAttention',
    'MonaAdapter',
    'build_lora',
    'build_mona',
    'merge_lora_',
]
