"""Convert ALBEF checkpoints for VisionLanguagePretraining and its tasks.

Input: a file of the authors: a pre-trained one (``ALBEF.pth``, ``ALBEF_4M.pth``), a
fine-tuned one (``mscoco.pth``, ``flickr30k.pth``, ``vqa.pth``, ``refcoco.pth``), or
``pretrain_model_nlvr.pth``.
Output: a checkpoint of the model that reads the file. The tasks also load the
weights that they need from a pre-trained one by ``load_from``:
``VisualQuestionAnswering`` with ``decoder_from_fusion=True`` makes its decoder from
the layers of the fusion, and an ``AlbefFusion`` of two images has each layer twice.
Weights that no model has are reported as dropped. Position embeddings keep their
size; the backbone resizes them when it loads them.

Example:

    python tools/model_converters/albef.py ALBEF_4M.pth checkpoints/albef-4m.pth
"""

import argparse
import re
from typing import Dict, List, Set, Tuple

import torch

from mmvlfusion.models.multimodal.fusion.bert_layers import from_bert, layers_of
from mmvlfusion.models.utils import load_state_dict, rename, save_converted

Weights = Dict[str, torch.Tensor]

BLOCK = r'^visual_encoder\.blocks\.(\d+)\.'
# Ends of names: other ones would be converted to names that no model loads.
LEAF = r'(?=(weight|bias)$)'
WORDS = r'(?=((transform\.(dense|LayerNorm)|decoder)\.(weight|bias)|bias)$)'
EMBEDDINGS = r'(?=(\w+_embeddings|LayerNorm)\.(weight|bias)$)'
LAYER_END = (
    r'(?=((cross)?attention\.(self\.(query|key|value)|output\.(dense|LayerNorm))'
    r'|intermediate\.dense|output\.(dense|LayerNorm))\.(weight|bias)$)'
)
LAYER = 'text_encoder.encoder.layer.'
# A weight whose new name is empty is dropped.
RULES = (
    (r'^.*\.position_ids$', ''),
    (r'^.*\.pooler\..*$', ''),
    (r'^visual_encoder\.(cls_token|pos_embed)$', r'backbone.\1'),
    (
        r'^visual_encoder\.patch_embed\.proj\.' + LEAF,
        'backbone.patch_embed.projection.',
    ),
    (r'^visual_encoder\.norm\.' + LEAF, 'backbone.ln1.'),
    (BLOCK + r'norm([12])\.' + LEAF, r'backbone.layers.\1.ln\2.'),
    (BLOCK + r'attn\.(qkv|proj)\.' + LEAF, r'backbone.layers.\1.attn.\2.'),
    (BLOCK + r'mlp\.fc1\.' + LEAF, r'backbone.layers.\1.ffn.layers.0.0.'),
    (BLOCK + r'mlp\.fc2\.' + LEAF, r'backbone.layers.\1.ffn.layers.1.'),
    (
        r'^text_encoder\.embeddings\.' + EMBEDDINGS,
        'text_encoder.encoder.embeddings.',
    ),
    (
        r'^text_encoder\.encoder\.layer\.(\d+)\.' + LAYER_END,
        r'text_encoder.encoder.encoder.layer.\1.',
    ),
    (
        r'^text_encoder\.cls\.predictions\.' + WORDS,
        'objectives.masked_language.head.',
    ),
    (r'^text_decoder\.embeddings\.' + EMBEDDINGS, 'head.decoder.bert.embeddings.'),
    (
        r'^text_decoder\.encoder\.layer\.(\d+)\.' + LAYER_END,
        r'head.decoder.bert.encoder.layer.\1.',
    ),
    (r'^text_decoder\.cls\.predictions\.' + WORDS, 'head.decoder.cls.predictions.'),
    (r'^cls_head\.([02])\.' + LEAF, r'head.classifier.\1.'),
    (r'^ta_head\.' + LEAF, 'objectives.contrastive.head.'),
    (r'^vision_proj\.' + LEAF, 'objectives.contrastive.image_proj.'),
    (r'^text_proj\.' + LEAF, 'objectives.contrastive.text_proj.'),
    (r'^itm_head\.' + LEAF, 'objectives.matching.head.fc.'),
    (r'^temp$', 'objectives.contrastive.temperature'),
    (r'^image_queue$', 'queue.image'),
    (r'^text_queue$', 'queue.text'),
    (r'^idx_queue$', 'queue.ids'),
    (r'^queue_ptr$', 'queue.position'),
)
EMA_PREFIX = 'ema_model.module.'


def _split_ema(weights: Weights) -> Tuple[Weights, Weights]:
    """Separate the weights of the EMA model, under the names of the trained one."""
    trained, ema = {}, {}
    for name, value in weights.items():
        # The encoder of a task has no prefix ``bert.``.
        name = re.sub(r'^(text_\w+)\.bert\.', r'\1.', name)
        part = ema if re.match(r'^\w+_m\.', name) else trained
        part[re.sub(r'^(\w+)_m\.', r'\1.', name)] = value
    return trained, ema


def _fusion_layers(names: List[str]) -> Set[str]:
    """Numbers of the layers of the text encoder with cross-attention."""
    pattern = re.escape(LAYER) + r'(\d+)\.crossattention\.'
    matches = [re.match(pattern, name) for name in names]
    return {match[1] for match in matches if match}


def _convert_part(weights: Weights) -> Tuple[Weights, List[str]]:
    """Convert the weights of the trained model, or those of its EMA model.

    Returns the converted weights and the names of the dropped ones.
    """
    fusion = sorted(_fusion_layers(list(weights)), key=int)
    if not fusion:
        raise ValueError(
            'The checkpoint has no layer with cross-attention under '
            f'{LAYER!r}: expected a checkpoint of ALBEF.'
        )
    renamed = {name: rename(name, RULES, 'ALBEF') for name in weights}
    layers = layers_of(weights, LAYER)
    out = {}
    for number, layer in enumerate(fusion):
        for name, value in from_bert(layers[int(layer)]).items():
            out[f'fusion.layers.{number}.{name}'] = value
    fused = tuple(f'{LAYER}{layer}.' for layer in fusion)
    for name, new in renamed.items():
        if new and not name.startswith(fused):
            out[new] = _reshape(new, weights[name])
    return out, [name for name, new in renamed.items() if not new]


def _reshape(name: str, value: torch.Tensor) -> torch.Tensor:
    """Give a weight the shape that it has in this project."""
    if name in ('queue.image', 'queue.text'):
        # (D, K) -> (K, D)
        return value.T.contiguous()
    if name == 'queue.ids' or name.endswith('.temperature'):
        return value.flatten()
    if name == 'queue.position':
        return value.reshape(())
    return value


def convert(weights: Weights) -> Tuple[Weights, List[str]]:
    """Convert the weights of an ALBEF.

    Args:
        weights (dict[str, torch.Tensor]): The state dict of a published file.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and
        the names of the dropped ones.

    Raises:
        ValueError: If a name is not one of an ALBEF.
    """
    trained, ema = _split_ema(weights)
    out, dropped = _convert_part(trained)
    if not ema:
        return out, dropped
    ema_out, ema_dropped = _convert_part(ema)
    # The matching head and the temperature are not averaged by the authors.
    for name, value in out.items():
        if name.startswith('objectives.'):
            ema_out.setdefault(name, value.clone())
    out.update((f'{EMA_PREFIX}{name}', value) for name, value in ema_out.items())
    # With a number of steps above 0, the first update does not overwrite it.
    out['ema_model.steps'] = torch.tensor(1)
    return out, dropped + [f'{name} (EMA model)' for name in ema_dropped]


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
    return parser.parse_args()


def main() -> None:
    """Convert the checkpoint of the command line."""
    args = parse_args()
    save_converted(*convert(load_state_dict(args.src)), args.dst)


if __name__ == '__main__':
    main()
