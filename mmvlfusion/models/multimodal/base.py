"""What all models of images and text share: the encoders and the fusion."""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModel

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..layers import grid_positions
from ..utils import check_fingerprint
from .fusion import Fusion, FusionOutput
from .tokenizers import build_tokenizer, encode, vocab_fingerprint

# How the library transformers calls embeddings of words: BERT's and T5's.
WORDS = ('.word_embeddings.weight', '.shared.weight')


class VisionLanguageModel(BaseModel):
    """A backbone, a text encoder, and a fusion of the two.

    Images of several sizes run through the backbone size by size, so that no
    result depends on what else is in the batch.

    Args:
        tokenizer (str | dict): See ``build_tokenizer``.
        text_encoder (dict, optional): Config of the text encoder. Defaults to
            None: the model reads images only.
        fusion (dict): Config of the fusion.
        backbone (dict, optional): Config of a backbone of any host that
            returns a map (B, C, h, w), of which the last is read. Defaults to
            None: the model reads text only.
        image_norm (bool): Whether the map is normalised and gets the positions
            of its cells. Without it the backbone may return tokens (B, M, C),
            as a ViT with its class token does, which are taken as they are.
            Defaults to True.
        max_text_length (int): Tokens of a text; more are cut. Defaults to 32.
        data_preprocessor (dict, optional): Config of the preprocessor. Its
            type defaults to ``mmvlfusion.ImageTextDataPreprocessor``.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If widths of the parts, the vocabulary or the length of
            texts do not fit.
    """

    def __init__(
        self,
        tokenizer: Union[str, Dict[str, Any]],
        fusion: dict,
        text_encoder: Optional[dict] = None,
        backbone: Optional[dict] = None,
        image_norm: bool = True,
        max_text_length: int = 32,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(
                dict(type='mmvlfusion.ImageTextDataPreprocessor'),
                **data_preprocessor or {},
            )
        super().__init__(data_preprocessor, init_cfg)
        self.tokenizer = build_tokenizer(tokenizer)
        self.register_buffer('tokenizer_fingerprint', vocab_fingerprint(self.tokenizer))
        self.text_encoder = (
            None
            if text_encoder is None
            else MODELS.build(text_encoder, default_args=dict(tokenizer=self.tokenizer))
        )
        self.backbone = None if backbone is None else MODELS.build(backbone)
        self.fusion: Fusion = MODELS.build(fusion)
        self.max_text_length = max_text_length
        self._check()
        # Backbones differ in the scale of their maps, positions do not.
        self.image_norm = (
            nn.LayerNorm(self.fusion.image_channels)
            if image_norm and backbone is not None
            else None
        )

    def _check(self) -> None:
        fusion = type(self.fusion).__name__
        if self.backbone is not None and self.fusion.image_channels is None:
            raise ValueError(f'The fusion {fusion} reads no image: set backbone=None.')
        if self.backbone is None and self.fusion.image_channels is not None:
            raise ValueError(f'The fusion {fusion} needs a backbone.')
        if self.text_encoder is None:
            return
        width = self.text_encoder.embed_dims
        limit = self.text_encoder.max_length
        if width != self.fusion.embed_dims:
            raise ValueError(
                f'The text encoder has {width} channels and the fusion '
                f'embed_dims={self.fusion.embed_dims}: make them agree.'
            )
        if limit is not None and self.max_text_length > limit:
            raise ValueError(
                f'max_text_length={self.max_text_length} is above the '
                f'{limit} positions of the text encoder.'
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """See ``torch.nn.Module``.

        Raises:
            ValueError: If the checkpoint was made with another tokenizer, or
                has another number of words.
        """
        check_fingerprint(
            state_dict,
            prefix + 'tokenizer_fingerprint',
            self.tokenizer_fingerprint,
            'The checkpoint was made with another tokenizer than '
            f'{self.tokenizer.name_or_path!r} ({len(self.tokenizer)} '
            'tokens): name the folder of its own in model.tokenizer.',
        )
        for name, own in self.state_dict().items():
            stored = state_dict.get(prefix + name)
            if name.endswith(WORDS) and stored is not None and len(stored) != len(own):
                raise ValueError(
                    f'The checkpoint has {len(stored)} words in {name} and '
                    f'the tokenizer {self.tokenizer.name_or_path!r} '
                    f'{len(own)}: name the folder of its own in '
                    'model.tokenizer.'
                )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def tokenize(
        self, texts: List[str], device: torch.device
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Indices of the texts' tokens, (B, L), and which of them are real,
        (B, L), or None if all are."""
        ids, mask = encode(self.tokenizer, texts, self.max_text_length, device)
        return ids, None if mask.all() else mask  # Attention is faster without.

    def fuse_inputs(
        self,
        images: torch.Tensor,
        texts: List[str],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """The fused tokens of texts and images.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            texts (list[str]): The texts.
            image_index (torch.Tensor, optional): The image of each text.
                Defaults to one text an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
        """
        ids, mask = self.tokenize(texts, images.device)
        text = self.text_encoder(ids, mask)
        if self.backbone is None:
            return self.fusion(text, text_mask=mask)
        image, image_mask = self.encode_images(images, image_mask)
        return self.fusion(text, image, mask, image_mask, image_index)

    def encode_images(
        self, images: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Tokens of images, of which ``mask`` tells the pixels, or of videos.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or (B, T, 3, H, W), T
                frames, whose tokens follow each other.
            mask (torch.Tensor, optional): True at real pixels of images, (B, H,
                W). Defaults to all.

        Returns:
            tuple[torch.Tensor, torch.Tensor | None]: The tokens, (B, M, C), and
            which of them are real, (B, M), or None if all are.
        """
        if images.ndim == 5:
            tokens = self._encode(images.flatten(0, 1))
            return tokens.unflatten(0, images.shape[:2]).flatten(1, 2), None
        if mask is None:
            return self._encode(images), None
        sizes = torch.stack([mask.any(2).sum(1), mask.any(1).sum(1)], 1)
        sizes = [tuple(size) for size in sizes.tolist()]
        parts: List[Optional[torch.Tensor]] = [None] * len(sizes)
        for height, width in sorted(set(sizes)):
            chosen = [i for i, s in enumerate(sizes) if s == (height, width)]
            tokens = self._encode(images[chosen, :, :height, :width])
            for i, part in zip(chosen, tokens):
                parts[i] = part
        tokens = nn.utils.rnn.pad_sequence(parts, batch_first=True)
        lengths = torch.tensor([len(p) for p in parts], device=tokens.device)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return tokens, places < lengths[:, None]

    def image_map(self, images: torch.Tensor) -> torch.Tensor:
        """The last map of the backbone, of images of one size."""
        maps = self.backbone(images)
        return maps[-1] if isinstance(maps, (list, tuple)) else maps

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        """Tokens (B, M, C) of images of one size."""
        x = self.image_map(images)
        name = type(self.backbone).__name__
        shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x)
        if self.image_norm is None and isinstance(x, torch.Tensor) and x.ndim == 3:
            channels = x.shape[2]
        elif isinstance(x, torch.Tensor) and x.ndim == 4:
            channels = x.shape[1]
        else:
            raise ValueError(
                f'The backbone {name} returns {shape} and no map (B, C, h, w): '
                "set its out_type='featmap', or what it has for that. Tokens "
                '(B, M, C) need image_norm=False.'
            )
        if channels != self.fusion.image_channels:
            raise ValueError(
                f'The map of the backbone {name} has {channels} channels, the '
                f'fusion takes {self.fusion.image_channels}: set '
                f'fusion.image_channels={channels}.'
            )
        tokens = x if x.ndim == 3 else x.flatten(2).transpose(1, 2)
        if self.image_norm is None:
            return tokens
        positions = grid_positions(x.shape[2:], channels).to(x)
        return self.image_norm(tokens) + positions


class VisionLanguageTask(VisionLanguageModel):
    """A vision-language model with a head that learns and predicts.

    Args:
        head (dict): Config of the head.
        **kwargs: See ``VisionLanguageModel``.

    Raises:
        ValueError: If the head is of another width than the fusion.
    """

    def __init__(self, head: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.head = MODELS.build(head, default_args=dict(tokenizer=self.tokenizer))
        width = self.fusion.embed_dims
        if self.head.in_channels != width:
            raise ValueError(
                f'The head {type(self.head).__name__} takes '
                f'{self.head.in_channels} channels, and the fusion has '
                f'embed_dims={width}: make in_channels of the head, or '
                'hidden_size of its decoder, agree.'
            )

    def forward(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Union[Dict[str, torch.Tensor], List[Any], FusionOutput]:
        """Train, predict, or fuse.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or videos, (B, T, 3, H,
                W).
            data_samples (list[DataSample]): One a text, with what the head and
                ``extract_feat`` read.
            image_index (torch.Tensor, optional): The image of each sample, (Q).
                Defaults to one sample an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict | list[DataSample] | FusionOutput: The losses; the samples with
            what the head predicts; or the fused tokens.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        fused = self.extract_feat(images, data_samples, image_index, image_mask)
        if mode == 'tensor':
            return fused
        return getattr(self.head, mode)(fused, data_samples)

    def extract_feat(
        self,
        images: torch.Tensor,
        data_samples: list,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """The tokens that the head reads, see ``forward``."""
        raise NotImplementedError
