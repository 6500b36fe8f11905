"""Where a vision-language model attends to in an image.

Notation of shapes:

    ====  ==========================================
    N     tokens of a text, or latents of the fusion
    M     tokens of the image
    h w   height and width of the map of the image
    ====  ==========================================
"""

from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

import torch
from torch import nn

from ..layers import CrossAttention, SelfAttention
from .base import VisionLanguageModel
from .fusion import ConcatFusion, Fusion, ImageOnlyFusion, JointAdaptiveFusion


@torch.no_grad()
def attention_maps(
    model: VisionLanguageModel, image: torch.Tensor, text: str
) -> Optional[torch.Tensor]:
    """Compute where a model attends to in an image.

    - ``JointAdaptiveFusion``: the attention of each image latent, which does not
      depend on the text.
    - ``ImageOnlyFusion``: the cross-attention of each token of the decoder to the
      image, for a caption.
    - Fusions with cross-attention to the image: its mean over layers, heads and
      tokens of the text.
    - ``ConcatFusion``: the same for the self-attention from text to image.

    Args:
        model (VisionLanguageModel): The model, in evaluation mode.
        image (torch.Tensor): The image after the data preprocessor, (1, 3, H, W).
        text (str): The question or expression; for ``ImageOnlyFusion`` the
            caption.

    Returns:
        torch.Tensor | None: The maps, (N, h, w), with N = 1 for a mean; or None if
        the backbone returns no map, a reducer replaces its tokens, or the fusion has
        no such attention.
    """
    fusion = model.fusion
    if not fusion.reads_image or image.ndim != 4 or model.reducer is not None:
        return None
    grid = model.image_map(image).shape[2:]
    if len(grid) != 2:
        return None
    tokens, _ = model.encode_images(image)
    if isinstance(fusion, JointAdaptiveFusion):
        maps = fusion.image_attention(tokens)[0]
    elif isinstance(fusion, ImageOnlyFusion):
        maps = _decoder_attention(model, tokens, text)
    else:
        maps = _fusion_attention(model, tokens, text)
    return None if maps is None else maps.unflatten(1, grid)


def _fusion_attention(
    model: VisionLanguageModel, image: torch.Tensor, text: str
) -> Optional[torch.Tensor]:
    """Mean attention of a fusion from text to image tokens, (1, M)."""
    ids, mask = model.tokenize([text], image.device)
    words = model.text_encoder(ids, mask)
    image, image_mask = model.fusion.prepare_image(image)
    with _attention_to_image(model.fusion, words, image) as maps:
        model.fusion.fuse(words, image, mask, image_mask)
    return torch.stack(maps).mean(dim=0) if maps else None


@contextmanager
def _attention_to_image(
    fusion: Fusion, text: torch.Tensor, image: torch.Tensor
) -> Iterator[List[torch.Tensor]]:
    """Record the attention to the image tokens of each layer, (1, M)."""
    maps: List[torch.Tensor] = []
    length, number = text.shape[1], image.shape[1]

    def record_cross(module: nn.Module, args: Any, output: Any) -> None:
        # A fusion may also attend to the text, which may have as many tokens.
        if args[1] is not text and args[1].shape[1] == number:
            maps.append(module.attention_map(*args).mean(dim=(1, 2)))

    def record_joint(module: nn.Module, args: Any, output: Any) -> None:
        attention = module.attention_map(args[0])[:, :, :length, length:]
        maps.append(attention.mean(dim=(1, 2)))

    handles = []
    for module in fusion.modules():
        if isinstance(module, CrossAttention):
            handles.append(module.register_forward_hook(record_cross))
        elif isinstance(module, SelfAttention) and isinstance(fusion, ConcatFusion):
            handles.append(module.register_forward_hook(record_joint))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _decoder_attention(
    model: VisionLanguageModel, image: torch.Tensor, caption: str
) -> Optional[torch.Tensor]:
    """Cross-attention of a decoder for each token of a caption, (N, M)."""
    head: Any = getattr(model, 'head', None)
    if not hasattr(head, 'decoder'):
        return None
    fused = model.fusion(None, image)
    ids = head.encode([caption], image.device)[:, :-1]
    config = head.decoder.config
    fast = config._attn_implementation
    # Only this implementation returns the attention.
    config._attn_implementation = 'eager'
    try:
        layers = head.decoder(
            ids,
            encoder_hidden_states=fused.tokens,
            output_attentions=True,
            use_cache=False,
        ).cross_attentions
    finally:
        config._attn_implementation = fast
    if not layers or layers[0] is None:
        return None
    # Layers of (1, heads, N, M) -> (N, M), without the prompt.
    return torch.stack(layers).mean(dim=(0, 2))[0, len(head.prompt) - 1 :]
