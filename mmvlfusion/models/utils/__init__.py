from .checkpoint import (
    check_checkpoint,
    is_pretrained,
    load_state_dict,
    read_checkpoint,
    rename,
    rename_factors,
    save,
    save_converted,
    save_safetensors,
)
from .features import matching_modules, recorded_outputs
from .fingerprint import check_fingerprint, fingerprint
from .module_config import module_config
from .sharding import gathered_parameters, is_sharded
from .unwrap import unwrap_model

__all__ = [
    'check_checkpoint',
    'check_fingerprint',
    'fingerprint',
    'gathered_parameters',
    'is_pretrained',
    'is_sharded',
    'load_state_dict',
    'matching_modules',
    'module_config',
    'read_checkpoint',
    'recorded_outputs',
    'rename',
    'rename_factors',
    'save',
    'save_converted',
    'save_safetensors',
    'unwrap_model',
]
