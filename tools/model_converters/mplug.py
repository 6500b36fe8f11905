"""Convert mPLUG's checkpoints for VisionLanguagePretraining and its tasks.

Reads ``mplug_base`` and ``mplug_large`` in any of the forms in which the
authors' code loads them: with ``fusion.``, ``bert.`` or no prefix in the names
of the fusion. Tasks take what they have of the result by ``load_from``.

The momentum copy of the fusion was never updated by the authors' code; the
trained fusion takes its place. Positions keep their size: the backbone resizes
them when it loads them.
"""

import argparse
import re
from collections import Counter
from typing import Dict, List, Tuple

import torch
from mmengine.logging import print_log

from mmvlfusion.models.multimodal.fusion.skip_connected import connected_layers
from mmvlfusion.models.utils import load_state_dict, rename, save

Weights = Dict[str, torch.Tensor]

BLOCK = r'^visual_encoder\.visual\.transformer\.resblocks\.(\d+)\.'
LAYER = r'^fusion_encoder\.encoder\.layer\.(\d+)\.'
RULES = (
    (r'^visual_encoder\.visual\.class_embedding$', 'backbone.cls_token'),
    (r'^visual_encoder\.visual\.positional_embedding$', 'backbone.pos_embed'),
    (r'^visual_encoder\.visual\.conv1\.', 'backbone.patch_embed.projection.'),
    (r'^visual_encoder\.visual\.ln_pre\.', 'backbone.pre_norm.'),
    (r'^visual_encoder\.visual\.ln_post\.', 'backbone.ln1.'),
    (BLOCK + r'ln_([12])\.', r'backbone.layers.\1.ln\2.'),
    (BLOCK + r'attn\.in_proj_', r'backbone.layers.\1.attn.qkv.'),
    (BLOCK + r'attn\.out_proj\.', r'backbone.layers.\1.attn.proj.'),
    (BLOCK + r'mlp\.c_fc\.', r'backbone.layers.\1.ffn.layers.0.0.'),
    (BLOCK + r'mlp\.c_proj\.', r'backbone.layers.\1.ffn.layers.1.'),
    (r'^visn_fc\.', 'fusion.image_proj.'),
    (r'^visn_layer_norm\.', 'fusion.image_norm.'),
    (r'^text_encoder\.', 'text_encoder.encoder.'),
    (LAYER + r'attention\.self\.(query|key|value)\.', r'fusion.layers.\1.attn.qkv.\2.'),
    (LAYER + r'attention\.output\.dense\.', r'fusion.layers.\1.attn.proj.'),
    (LAYER + r'attention\.output\.LayerNorm\.', r'fusion.layers.\1.norm1.'),
    (LAYER + r'crossattention\.self\.query\.', r'fusion.layers.\1.cross_attn.q.'),
    (
        LAYER + r'crossattention\.self\.(key|value)\.',
        r'fusion.layers.\1.cross_attn.kv.\2.',
    ),
    (LAYER + r'crossattention\.output\.dense\.', r'fusion.layers.\1.cross_attn.proj.'),
    (LAYER + r'crossattention\.output\.LayerNorm\.', r'fusion.layers.\1.norm_cross.'),
    (LAYER + r'intermediate\.dense\.', r'fusion.layers.\1.ffn.layers.0.0.'),
    (LAYER + r'output\.dense\.', r'fusion.layers.\1.ffn.layers.1.'),
    (LAYER + r'output\.LayerNorm\.', r'fusion.layers.\1.norm2.'),
    (r'^fusion_encoder\.cls\.predictions\.', 'objectives.masked_language.head.'),
    (r'^text_decoder\.', 'head.decoder.'),
    (r'^vision_proj\.', 'objectives.contrastive.image_proj.'),
    (r'^text_proj\.', 'objectives.contrastive.text_proj.'),
    (r'^itm_head\.', 'objectives.matching.head.fc.'),
    (r'^temp$', 'objectives.contrastive.temperature'),
    (r'^image_queue$', 'queue.image'),
    (r'^text_queue$', 'queue.text'),
    (r'^idx_queue$', 'queue.ids'),
    (r'^queue_ptr$', 'queue.position'),
)
# CLIP's tower for text, its projections, and what the fusion has and the
# authors' code does not run.
UNUSED = (
    r'visual_encoder(_m)?\.(?!visual\.)',
    r'visual_encoder(_m)?\.visual\.proj$',
    r'fusion_encoder(_m)?\.(embeddings|pooler)\.',
    r'text_decoder_m\.',
    r'fusion_encoder_m\.',
    r'.*\.position_ids$',
    r'.*\.pooler\.',
)
PARTS = ('query', 'key', 'value')


def _plain(name: str) -> str:
    """A name without the prefixes in which the published files differ."""
    return re.sub(r'^((?:fusion|text)_encoder(?:_m)?)\.(?:fusion|bert)\.', r'\1.', name)


def _first_layer(names: List[str]) -> int:
    """The first layer of the fusion that runs: the second half does."""
    found = (re.match(LAYER, name) for name in names)
    layers = {int(match[1]) for match in found if match}
    if not layers:
        raise ValueError(
            "The checkpoint has no fusion_encoder: it is none of mPLUG's pre-training."
        )
    return (max(layers) + 1) // 2


def _join(parts: Dict[str, Weights]) -> Weights:
    """Query, key and value in one product."""
    return {
        name: torch.cat([by_part[part] for part in PARTS if part in by_part])
        for name, by_part in parts.items()
    }


def convert(weights: Weights, stride: int) -> Tuple[Weights, List[str]]:
    """Rename the weights of an mPLUG.

    Args:
        weights (dict[str, torch.Tensor]): Those of a published file.
        stride (int): Asymmetric layers between connected ones: 3 for base, 6
            for large.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The weights, and the names of
        those that the model does not have.

    Raises:
        ValueError: If a name is none of an mPLUG's.
    """
    weights = {_plain(name): value for name, value in weights.items()}
    first = _first_layer(list(weights))
    connected = connected_layers(first, stride, 'released')
    out: Weights = {'fusion.connected': torch.tensor(connected)}
    parts: Dict[str, Weights] = {}
    dropped = []
    for name, value in weights.items():
        layer = re.match(LAYER, name)
        layer = int(layer[1]) - first if layer else 0
        if (
            layer < 0
            or (connected[layer] and '.crossattention.' in name)
            or any(re.match(pattern, name) for pattern in UNUSED)
        ):
            dropped.append(name)
            continue
        twin = re.match(r'^\w+_m\.', name)
        online = re.sub(r'^(\w+)_m\.', r'\1.', name) if twin else name
        new = rename(online, RULES, 'mPLUG')
        new = re.sub(r'^fusion\.layers\.\d+', f'fusion.layers.{layer}', new)
        new = f'ema_model.module.{new}' if twin else new
        joined = re.match(r'(.*\.(?:qkv|kv))\.(query|key|value)\.(\w+)$', new)
        if joined:
            parts.setdefault(f'{joined[1]}.{joined[3]}', {})[joined[2]] = value
        else:
            out[new] = _shape(new, value)
    out.update(_join(parts))
    return _with_momentum(out), dropped


def _shape(name: str, value: torch.Tensor) -> torch.Tensor:
    if name.endswith('.cls_token'):
        return value.reshape(1, 1, -1)
    if name.endswith('.pos_embed'):
        return value.reshape(1, *value.shape[-2:])
    if name in ('queue.image', 'queue.text'):
        return value.T.contiguous()
    if name == 'queue.ids':
        return value.flatten()
    if name == 'queue.position':
        return value.reshape(())
    return value


def _with_momentum(out: Weights) -> Weights:
    """The moving average, completed by what it lacks of the fusion, and its
    count of steps, by which it is not overwritten."""
    twin = 'ema_model.module.'
    if any(name.startswith(twin) for name in out):
        for name, value in list(out.items()):
            if name.startswith(('fusion.', 'objectives.')):
                out.setdefault(twin + name, value.clone())
        out['ema_model.steps'] = torch.tensor(1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write')
    parser.add_argument(
        '--stride',
        type=int,
        required=True,
        help='asymmetric layers between connected ones, 3 for mplug_base and '
        '6 for mplug_large',
    )
    args = parser.parse_args()
    weights, dropped = convert(load_state_dict(args.src), args.stride)
    save(dict(state_dict=weights), args.dst)
    print_log(f'{args.dst}: {len(weights)} weights were carried over.')
    kinds = Counter(re.sub(r'\.\d+\..*', '.*', name) for name in dropped)
    for kind, number in sorted(kinds.items()):
        print_log(f'  not used: {number} x {kind}')


if __name__ == '__main__':
    main()
