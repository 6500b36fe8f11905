"""Convert mPLUG checkpoints for VisionLanguagePretraining and its tasks.

Input: ``mplug_base`` or ``mplug_large``, in any of the forms that the authors'
code loads: the names of the fusion have the prefix ``fusion.``, ``bert.`` or
none.
Output: a checkpoint for ``VisionLanguagePretraining``. The tasks load the
weights that they need from it by ``load_from``. Weights that the model does not
have are reported as dropped.

The authors' code never updated the EMA model of the fusion, so it is replaced
by the trained fusion. Position embeddings keep their size; the backbone resizes
them when it loads them.

Example:

    python tools/model_converters/mplug.py \\
        mplug_base.pth checkpoints/mplug-base.pth --stride 3
"""

import argparse
import re
from typing import Dict, List, Tuple

import torch

from mmvlfusion.models.multimodal.fusion.skip_connected import connected_layers
from mmvlfusion.models.utils import load_state_dict, rename, save_converted

Weights = Dict[str, torch.Tensor]

BLOCK = r'^visual_encoder\.visual\.transformer\.resblocks\.(\d+)\.'
LAYER = r'^fusion_encoder\.encoder\.layer\.(\d+)\.'
# Ends of names: other ones would be converted to names that no model loads.
LEAF = r'(?=(weight|bias)$)'
BERT = (
    r'(?=(embeddings\.(\w+_embeddings|LayerNorm)|encoder\.layer\.\d+\.'
    r'((cross)?attention\.(self\.(query|key|value)|output\.(dense|LayerNorm))'
    r'|intermediate\.dense|output\.(dense|LayerNorm)))\.(weight|bias)$)'
)
WORDS = r'(?=((transform\.(dense|LayerNorm)|decoder)\.(weight|bias)|bias)$)'
# A weight whose new name is empty is dropped: CLIP's text encoder and
# projections, modules that the authors' code does not run, and constants of
# fine-tuned grounding models.
RULES = (
    (r'^(prefix_ids|target_ids|bbox_prob_mask)$', ''),
    (r'^visual_encoder\.(?!visual\.).*$', ''),
    (r'^visual_encoder\.visual\.proj$', ''),
    (r'^fusion_encoder\.(embeddings|pooler)\..*$', ''),
    (r'^.*\.position_ids$', ''),
    (r'^.*\.pooler\..*$', ''),
    (r'^visual_encoder\.visual\.class_embedding$', 'backbone.cls_token'),
    (r'^visual_encoder\.visual\.positional_embedding$', 'backbone.pos_embed'),
    (
        r'^visual_encoder\.visual\.conv1\.' + LEAF,
        'backbone.patch_embed.projection.',
    ),
    (r'^visual_encoder\.visual\.ln_pre\.' + LEAF, 'backbone.pre_norm.'),
    (r'^visual_encoder\.visual\.ln_post\.' + LEAF, 'backbone.ln1.'),
    (BLOCK + r'ln_([12])\.' + LEAF, r'backbone.layers.\1.ln\2.'),
    (BLOCK + r'attn\.in_proj_' + LEAF, r'backbone.layers.\1.attn.qkv.'),
    (BLOCK + r'attn\.out_proj\.' + LEAF, r'backbone.layers.\1.attn.proj.'),
    (BLOCK + r'mlp\.c_fc\.' + LEAF, r'backbone.layers.\1.ffn.layers.0.0.'),
    (BLOCK + r'mlp\.c_proj\.' + LEAF, r'backbone.layers.\1.ffn.layers.1.'),
    (r'^visn_fc\.' + LEAF, 'fusion.image_proj.'),
    (r'^visn_layer_norm\.' + LEAF, 'fusion.image_norm.'),
    (r'^text_encoder\.' + BERT, 'text_encoder.encoder.'),
    (
        LAYER + r'attention\.self\.(query|key|value)\.' + LEAF,
        r'fusion.layers.\1.attn.qkv.\2.',
    ),
    (LAYER + r'attention\.output\.dense\.' + LEAF, r'fusion.layers.\1.attn.proj.'),
    (LAYER + r'attention\.output\.LayerNorm\.' + LEAF, r'fusion.layers.\1.norm1.'),
    (
        LAYER + r'crossattention\.self\.query\.' + LEAF,
        r'fusion.layers.\1.cross_attn.q.',
    ),
    (
        LAYER + r'crossattention\.self\.(key|value)\.' + LEAF,
        r'fusion.layers.\1.cross_attn.kv.\2.',
    ),
    (
        LAYER + r'crossattention\.output\.dense\.' + LEAF,
        r'fusion.layers.\1.cross_attn.proj.',
    ),
    (
        LAYER + r'crossattention\.output\.LayerNorm\.' + LEAF,
        r'fusion.layers.\1.norm_cross.',
    ),
    (LAYER + r'intermediate\.dense\.' + LEAF, r'fusion.layers.\1.ffn.layers.0.0.'),
    (LAYER + r'output\.dense\.' + LEAF, r'fusion.layers.\1.ffn.layers.1.'),
    (LAYER + r'output\.LayerNorm\.' + LEAF, r'fusion.layers.\1.norm2.'),
    (
        r'^fusion_encoder\.cls\.predictions\.' + WORDS,
        'objectives.masked_language.head.',
    ),
    (r'^text_decoder\.cls\.predictions\.' + WORDS, 'head.decoder.cls.predictions.'),
    (r'^text_decoder\.bert\.' + BERT, 'head.decoder.bert.'),
    (r'^vision_proj\.' + LEAF, 'objectives.contrastive.image_proj.'),
    (r'^text_proj\.' + LEAF, 'objectives.contrastive.text_proj.'),
    (r'^itm_head\.' + LEAF, 'objectives.matching.head.fc.'),
    (r'^temp$', 'objectives.contrastive.temperature'),
    (r'^image_queue$', 'queue.image'),
    (r'^text_queue$', 'queue.text'),
    (r'^idx_queue$', 'queue.ids'),
    (r'^queue_ptr$', 'queue.position'),
)
# Parts of the EMA model that are dropped.
DROPPED_EMA = ('text_decoder.', 'fusion_encoder.')
EMA_PREFIX = 'ema_model.module.'
QKV_PARTS = ('query', 'key', 'value')


def _remove_prefix(name: str) -> str:
    """Remove the prefix in which the published files differ."""
    return re.sub(r'^((?:fusion|text)_encoder(?:_m)?)\.(?:fusion|bert)\.', r'\1.', name)


def _first_layer(names: List[str]) -> int:
    """Return the first layer of the fusion that runs: only the second half does."""
    matches = [re.match(LAYER, name) for name in names]
    layers = {int(match[1]) for match in matches if match}
    if not layers:
        raise ValueError(
            'The checkpoint has no fusion_encoder: expected a pre-training '
            'checkpoint of mPLUG.'
        )
    return (max(layers) + 1) // 2


def _rename(name: str) -> str:
    """Rename a weight; an empty string if it is dropped."""
    if not re.match(r'^\w+_m\.', name):
        return rename(name, RULES, 'mPLUG')
    online_name = re.sub(r'^(\w+)_m\.', r'\1.', name)
    if online_name.startswith(DROPPED_EMA):
        return ''
    new = rename(online_name, RULES, 'mPLUG')
    return f'{EMA_PREFIX}{new}' if new else ''


def _join_qkv(parts: Dict[str, Weights]) -> Weights:
    """Concatenate query, key and value weights of the same linear layer."""
    return {
        name: torch.cat([by_part[part] for part in QKV_PARTS if part in by_part])
        for name, by_part in parts.items()
    }


def convert(weights: Weights, stride: int) -> Tuple[Weights, List[str]]:
    """Convert the weights of an mPLUG.

    Args:
        weights (dict[str, torch.Tensor]): The state dict of a published file.
        stride (int): Distance of the connected layers: 3 for base, 6 for
            large. See the schedule ``'released'`` of ``SkipConnectedFusion``.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones.

    Raises:
        ValueError: If a name is not one of an mPLUG.
    """
    weights = {_remove_prefix(name): value for name, value in weights.items()}
    first = _first_layer(list(weights))
    connected = connected_layers(first, stride, 'released')
    out: Weights = {'fusion.connected': torch.tensor(connected)}
    qkv_parts: Dict[str, Weights] = {}
    dropped = []
    for name, value in weights.items():
        layer_match = re.match(LAYER, name)
        layer = None
        if layer_match:
            layer = int(layer_match[1]) - first
            # Connected layers have no cross-attention.
            if layer < 0 or (connected[layer] and '.crossattention.' in name):
                dropped.append(name)
                continue
        new = _rename(name)
        if not new:
            dropped.append(name)
            continue
        if layer is not None:
            new = re.sub(r'^fusion\.layers\.\d+', f'fusion.layers.{layer}', new)
        part_match = re.match(r'(.*\.(?:qkv|kv))\.(query|key|value)\.(\w+)$', new)
        if part_match:
            joined_name = f'{part_match[1]}.{part_match[3]}'
            qkv_parts.setdefault(joined_name, {})[part_match[2]] = value
        else:
            out[new] = _reshape(new, value)
    out.update(_join_qkv(qkv_parts))
    return _complete_ema(out), dropped


def _reshape(name: str, value: torch.Tensor) -> torch.Tensor:
    """Give a weight the shape that it has in this project."""
    if name.endswith('.cls_token'):
        return value.reshape(1, 1, -1)
    if name.endswith('.pos_embed'):
        return value.reshape(1, *value.shape[-2:])
    if name in ('queue.image', 'queue.text'):
        # (D, K) -> (K, D)
        return value.T.contiguous()
    if name == 'queue.ids':
        return value.flatten()
    if name == 'queue.position':
        return value.reshape(())
    return value


def _complete_ema(out: Weights) -> Weights:
    """Add the missing weights of the EMA model and its number of steps.

    With a number of steps above 0, the first update does not overwrite it.
    """
    if any(name.startswith(EMA_PREFIX) for name in out):
        for name, value in list(out.items()):
            if name.startswith(('fusion.', 'objectives.')):
                out.setdefault(EMA_PREFIX + name, value.clone())
        out['ema_model.steps'] = torch.tensor(1)
    return out


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--stride',
        type=int,
        required=True,
        help='distance of the connected layers: 3 for mplug_base, 6 for mplug_large',
    )
    return parser.parse_args()


def main() -> None:
    """Convert the checkpoint of the command line."""
    args = parse_args()
    weights, dropped = convert(load_state_dict(args.src), args.stride)
    save_converted(weights, dropped, args.dst)


if __name__ == '__main__':
    main()
