from .checkpoint import (
    check_checkpoint,
    is_pretrained,
    load_state_dict,
    rename,
    rename_factors,
    save,
    save_converted,
)
from .features import matching_modules, recorded_outputs, tensors_of
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
    'recorded_outputs',
    'rename',
    'rename_factors',
    'save',
    'save_converted',
    'tensors_of',
    'unwrap_model',
]
