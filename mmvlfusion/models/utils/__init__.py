from .attention_weights import recorded_attention
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
from .features import matching_modules, recorded_outputs, tensors_of
from .fingerprint import check_fingerprint, fingerprint
from .linear_layers import (
    computed_weights,
    exchange_,
    is_packed_attention,
    linear_layers,
    packed_attention,
    packed_projection,
    shorten,
)
from .mixins import with_mixin
from .module_config import module_config, named_builder, without_builders
from .patterns import EXCLUDE, check_matches, matches, resolve
from .sharding import gathered_parameters, is_sharded
from .unwrap import unwrap_model

__all__ = [
    'EXCLUDE',
    'check_matches',
    'computed_weights',
    'exchange_',
    'is_packed_attention',
    'linear_layers',
    'packed_attention',
    'packed_projection',
    'resolve',
    'shorten',
    'check_checkpoint',
    'check_fingerprint',
    'fingerprint',
    'gathered_parameters',
    'is_pretrained',
    'is_sharded',
    'load_state_dict',
    'matches',
    'matching_modules',
    'module_config',
    'named_builder',
    'recorded_attention',
    'read_checkpoint',
    'recorded_outputs',
    'rename',
    'rename_factors',
    'save',
    'save_converted',
    'save_safetensors',
    'tensors_of',
    'unwrap_model',
    'with_mixin',
    'without_builders',
]
