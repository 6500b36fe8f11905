"""Base classes of the vision-language models: encoders, fusion and head.

Notation of shapes:

    ====  ==================================================
    B     images of a batch
    Q     texts of a batch
    L     tokens of a text
    M     tokens of an image
    T     frames of a video
    C     channels of an image token
    H W   height and width of an image in pixels
    h w   height and width of a feature map
    ====  ==================================================
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import BaseModel

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..layers import grid_positions
from ..utils import check_fingerprint, is_sharded
from .fusion import Fusion, FusionOutput, select_rows
from .reducers import TokenReducer
from .tokenizers import build_tokenizer, encode, vocab_fingerprint

# Names of the word embeddings of BERT and T5 in the library transformers.
WORDS = ('.word_embeddings.weight', '.shared.weight')


class VisionLanguageModel(BaseModel):
    """A backbone, a text encoder, and a fusion of the two.

    In a batch of images of several sizes, the backbone processes the images of
    each size separately. The result of an image does not depend on the other
    images of the batch.

    Args:
        tokenizer (str | dict): See ``build_tokenizer``.
        fusion (dict): Config of the fusion.
        text_encoder (dict, optional): Config of the text encoder. Defaults to
            None: the model reads images only.
        backbone (dict, optional): Config of a backbone of any host that
            returns maps (B, C, h, w). The last map is used. Defaults to None:
            the model reads text only.
        image_norm (bool): Whether to normalise the map and to add position
            embeddings to its cells. If False, the backbone may also return
            tokens (B, M, C), such as a ViT with its class token, and the tokens
            are used unchanged. Defaults to True.
        reducer (dict, optional): Config of a ``TokenReducer``, which makes
            fewer tokens of the map before the fusion. Defaults to None.
        max_text_length (int): Maximum number of tokens of a text. Longer texts
            are truncated. Defaults to 32.
        text_end_token (bool): Whether the text encoder reads the tokenizer's
            end token, such as BERT's ``[SEP]``, at the end of a text. The
            published weights of mPLUG, like those of ALBEF, were trained
            without it, except those of grounding. ``max_text_length`` counts
            it. Defaults to True.
        data_preprocessor (dict, optional): Config of the preprocessor. Its
            type defaults to ``mmvlfusion.ImageTextDataPreprocessor``.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If backbone, text encoder and fusion do not fit each other,
            the text encoder has fewer positions than ``max_text_length``, or
            ``text_end_token=False`` leaves an empty text without tokens.
    """

    #: Whether an image is encoded for one text at a time, so that a reducer can
    #: read the text.
    fuses_texts = True

    def __init__(
        self,
        tokenizer: Union[str, Dict[str, Any]],
        fusion: dict,
        text_encoder: Optional[dict] = None,
        backbone: Optional[dict] = None,
        image_norm: bool = True,
        reducer: Optional[dict] = None,
        max_text_length: int = 32,
        text_end_token: bool = True,
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
        self.text_encoder: Any = (
            None
            if text_encoder is None
            else MODELS.build(text_encoder, default_args=dict(tokenizer=self.tokenizer))
        )
        self.backbone: Any = None if backbone is None else MODELS.build(backbone)
        self.fusion: Fusion = MODELS.build(fusion)
        self.reducer: Any = None if reducer is None else self._build_reducer(reducer)
        self.max_text_length = max_text_length
        self.text_end_token = text_end_token
        self._check_parts()
        # The scale of the maps differs between backbones, that of the position
        # embeddings does not.
        self.image_norm = (
            nn.LayerNorm(self._map_channels)
            if image_norm and backbone is not None
            else None
        )
        # Subclasses that need an EMA model build it last.
        self.ema_model: Any = None

    def train(self, mode: bool = True) -> 'VisionLanguageModel':
        """Set the training mode; the EMA model stays in evaluation mode.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            VisionLanguageModel: The model.
        """
        super().train(mode)
        if self.ema_model is not None:
            self.ema_model.eval()
        return self

    @property
    def _map_channels(self) -> int:
        """Channels of the backbone's map."""
        if self.reducer is None:
            return self.fusion.image_channels
        return self.reducer.in_channels

    def _build_reducer(self, cfg: dict) -> TokenReducer:
        """Build the reducer, and check that model and fusion fit it."""
        reducer_class = MODELS.get(cfg['type'])
        if getattr(reducer_class, 'reads_text', False):
            if not self.fuses_texts:
                raise ValueError(
                    f'reducer={cfg["type"]} reads the text, but '
                    f'{type(self).__name__} encodes images without it: choose '
                    'another reducer.'
                )
            cfg = dict(cfg, tokenizer=self.tokenizer)
        reducer = MODELS.build(cfg)
        if self.backbone is None:
            raise ValueError('A reducer needs a backbone: set backbone.')
        if reducer.out_channels != self.fusion.image_channels:
            raise ValueError(
                f'The reducer {type(reducer).__name__} returns '
                f'{reducer.out_channels} channels, but the fusion expects '
                f'{self.fusion.image_channels}: set fusion.image_channels='
                f'{reducer.out_channels}.'
            )
        return reducer

    def _check_parts(self) -> None:
        """Check that backbone, text encoder and fusion fit each other."""
        fusion = type(self.fusion).__name__
        if self.backbone is not None and not self.fusion.reads_image:
            raise ValueError(f'The fusion {fusion} reads no image: set backbone=None.')
        if self.backbone is None and self.fusion.reads_image:
            raise ValueError(f'The fusion {fusion} needs a backbone: set backbone.')
        if self.text_encoder is None:
            return
        width = self.text_encoder.embed_dims
        limit = self.text_encoder.max_length
        if width != self.fusion.embed_dims:
            raise ValueError(
                f'The text encoder has {width} channels, but the fusion has '
                f'embed_dims={self.fusion.embed_dims}: set both to one value.'
            )
        if limit is not None and self.max_text_length > limit:
            raise ValueError(
                f'max_text_length={self.max_text_length} is above the '
                f'{limit} positions of the text encoder: reduce it.'
            )
        added = self.tokenizer('')['input_ids']
        if not self.text_end_token and len(added) < 2:
            raise ValueError(
                'text_end_token=False needs a tokenizer that adds a start and an '
                f'end token to a text, but {self.tokenizer.name_or_path!r} adds '
                f'{self.tokenizer.convert_ids_to_tokens(added)}: set '
                'text_end_token=True.'
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Check that the checkpoint was made with the same tokenizer.

        Raises:
            ValueError: If the checkpoint was made with another tokenizer, or
                has another number of word embeddings.
        """
        check_fingerprint(
            state_dict,
            prefix + 'tokenizer_fingerprint',
            self.tokenizer_fingerprint,
            'The checkpoint was made with another tokenizer than '
            f'{self.tokenizer.name_or_path!r} ({len(self.tokenizer)} '
            "tokens): set model.tokenizer to the folder of the checkpoint's "
            'tokenizer.',
        )
        own_weights = {} if is_sharded(self) else self.state_dict()
        for name, own in own_weights.items():
            stored = state_dict.get(prefix + name)
            if name.endswith(WORDS) and stored is not None and len(stored) != len(own):
                raise ValueError(
                    f'The checkpoint has {len(stored)} words in {name}, but '
                    f'the tokenizer {self.tokenizer.name_or_path!r} has '
                    f'{len(own)}: set model.tokenizer to the folder of the '
                    "checkpoint's tokenizer."
                )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def tokenize(
        self, texts: List[str], device: torch.device
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Convert texts to token ids.

        Args:
            texts (list[str]): The texts.
            device (torch.device): Device of the result.

        Returns:
            tuple[torch.Tensor, torch.Tensor | None]: Token ids, (Q, L), and a
            mask, True at valid tokens, (Q, L). The mask is None if all are
            valid, because attention is faster without one.
        """
        ids, mask = encode(
            self.tokenizer, texts, self.max_text_length, device, self.text_end_token
        )
        return ids, None if mask.all() else mask

    def fuse_inputs(
        self,
        images: torch.Tensor,
        texts: List[str],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """Encode and fuse texts and images.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or videos, (B, T, 3, H,
                W).
            texts (list[str]): The Q texts.
            image_index (torch.Tensor, optional): Index of the image of each
                text, (Q). Defaults to None, one text per image.
            image_mask (torch.Tensor, optional): True at valid pixels, (B, H,
                W). Defaults to None, all.

        Returns:
            FusionOutput: The fused tokens.
        """
        ids, mask = self.tokenize(texts, images.device)
        text = self.text_encoder(ids, mask)
        if self.backbone is None:
            return self.fusion(text, text_mask=mask)
        image, image_mask = self.encode_images(images, image_mask)
        if self.reducer is not None and self.reducer.reads_text:
            image, image_mask = select_rows(image_index, image, image_mask)
            image = self.reducer(image, ids, image_mask, mask)
            image_mask = image_index = None
        return self.fusion(text, image, mask, image_mask, image_index)

    def encode_images(
        self, images: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Encode images or videos.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or videos of T frames,
                (B, T, 3, H, W). The tokens of the frames are concatenated.
            mask (torch.Tensor, optional): True at valid pixels of images, (B,
                H, W). Defaults to None, all.

        Returns:
            tuple[torch.Tensor, torch.Tensor | None]: Tokens, (B, M, C), and a
            mask, True at valid tokens, (B, M), or None if all are valid.
        """
        if images.ndim == 5:
            tokens = self._encode(images.flatten(0, 1))
            # (B * T, M, C) -> (B, T * M, C)
            return tokens.unflatten(0, images.shape[:2]).flatten(1, 2), None
        if mask is None:
            return self._encode(images), None
        heights = mask.any(dim=2).sum(dim=1).tolist()
        widths = mask.any(dim=1).sum(dim=1).tolist()
        sizes = list(zip(heights, widths))
        parts: List[Any] = [None] * len(sizes)
        for height, width in sorted(set(sizes)):
            chosen = [i for i, size in enumerate(sizes) if size == (height, width)]
            tokens = self._encode(images[chosen, :, :height, :width])
            for i, part in zip(chosen, tokens):
                parts[i] = part
        tokens = nn.utils.rnn.pad_sequence(parts, batch_first=True)
        lengths = torch.tensor([len(part) for part in parts], device=tokens.device)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return tokens, places < lengths[:, None]

    def image_map(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the last map of the backbone.

        Args:
            images (torch.Tensor): Images of one size, (B, 3, H, W).

        Returns:
            torch.Tensor: Map (B, C, h, w), or tokens (B, M, C).
        """
        return self._image_maps(images)[-1]

    def _image_maps(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """All maps that the backbone returns."""
        maps = self.backbone(images)
        return maps if isinstance(maps, (list, tuple)) else [maps]

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images of one size as tokens, (B, M, C)."""
        maps = self._image_maps(images)
        x = maps[-1]
        name = type(self.backbone).__name__
        is_tensor = isinstance(x, torch.Tensor)
        if self.image_norm is None and is_tensor and x.ndim == 3:
            channels = x.shape[2]
        elif is_tensor and x.ndim == 4:
            channels = x.shape[1]
        else:
            found = tuple(x.shape) if is_tensor else type(x)
            raise ValueError(
                f'The backbone {name} returns {found}, expected a map (B, C, h, '
                "w): set its out_type='featmap' or its equivalent. Tokens "
                '(B, M, C) need image_norm=False.'
            )
        if channels != self._map_channels:
            key = (
                'fusion.image_channels'
                if self.reducer is None
                else 'reducer.in_channels'
            )
            raise ValueError(
                f'The map of the backbone {name} has {channels} channels, but '
                f'{key} is {self._map_channels}: set {key}={channels}.'
            )
        if self.reducer is not None and not self.reducer.reads_text:
            return self._reduce(maps)
        # (B, C, h, w) -> (B, h * w, C)
        tokens = x if x.ndim == 3 else x.flatten(2).transpose(1, 2)
        if self.image_norm is None:
            return tokens
        return self.image_norm(tokens) + grid_positions(x.shape[2:], channels).to(x)

    def _reduce(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Reduce maps (B, C, h, w) to tokens, (B, N, E)."""
        reducer = self.reducer
        if maps[-1].ndim != 4 or len(maps) < reducer.num_maps:
            raise ValueError(
                f'The reducer {type(reducer).__name__} needs {reducer.num_maps} '
                f'maps (B, C, h, w), but the backbone returns {len(maps)} of shape '
                f'{tuple(maps[-1].shape)}: set its out_type and out_indices.'
            )
        size = maps[-1].shape[2:]
        grid = reducer.grid(size)
        inputs = list(maps[-reducer.num_maps :])
        if self.image_norm is None:
            return reducer(inputs)
        for i, x in enumerate(inputs):
            # (B, C, h, w) -> (B, h, w, C)
            x = self.image_norm(x.permute(0, 2, 3, 1))
            if grid is None:
                x = x + grid_positions(size, x.shape[3]).to(x).unflatten(0, size)
            inputs[i] = x.permute(0, 3, 1, 2)
        tokens = reducer(inputs)
        if grid is None:
            return tokens
        return tokens + grid_positions(grid, tokens.shape[2]).to(tokens)


class VisionLanguageTask(VisionLanguageModel):
    """A vision-language model with a head for training and prediction.

    Args:
        head (dict): Config of the head.
        **kwargs: See ``VisionLanguageModel``.

    Raises:
        ValueError: If the head has another width than the fusion, or needs an
            EMA model that the task does not have.
    """

    #: Whether an EMA model can soften the targets of the head.
    has_soft_targets = False

    def __init__(self, head: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.head = MODELS.build(head, default_args=dict(tokenizer=self.tokenizer))
        width = self.fusion.embed_dims
        if self.head.in_channels != width:
            raise ValueError(
                f'The head {type(self.head).__name__} takes '
                f'{self.head.in_channels} channels, but the fusion has '
                f'embed_dims={width}: set in_channels of the head, or '
                f'hidden_size of its decoder, to {width}.'
            )
        alpha = getattr(self.head, 'alpha', 0)
        if alpha and not self.has_soft_targets:
            raise ValueError(
                f'alpha={alpha} of the head needs an EMA model, which '
                f'{type(self).__name__} does not have: set alpha=0.'
            )

    def forward(
        self,
        images: torch.Tensor,
        data_samples: Optional[list] = None,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Union[Dict[str, torch.Tensor], List[Any], FusionOutput]:
        """Compute the losses, predict, or fuse.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W), or videos, (B, T, 3, H,
                W).
            data_samples (list[DataSample]): One per text, with the fields that
                the head and ``extract_feat`` read.
            image_index (torch.Tensor, optional): Index of the image of each
                sample, (Q). Defaults to None, one sample per image.
            image_mask (torch.Tensor, optional): True at valid pixels, (B, H,
                W). Defaults to None, all.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``. Defaults to
                ``'tensor'``.

        Returns:
            dict | list[DataSample] | FusionOutput: The losses; the samples with
            the predictions of the head; or the fused tokens.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        samples = data_samples or []
        fused = self.extract_feat(images, samples, image_index, image_mask)
        if mode == 'tensor':
            return fused
        if mode == 'loss':
            return self.head.loss(fused, data_samples)
        return self.head.predict(fused, data_samples)

    def extract_feat(
        self,
        images: torch.Tensor,
        data_samples: list,
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
    ) -> FusionOutput:
        """Compute the tokens that the head reads.

        Args:
            images (torch.Tensor): See ``forward``.
            data_samples (list[DataSample]): See ``forward``.
            image_index (torch.Tensor, optional): See ``forward``.
            image_mask (torch.Tensor, optional): See ``forward``.

        Returns:
            FusionOutput: The fused tokens.
        """
        raise NotImplementedError
