"""The graphs that a model is exported as.

A graph is a module that reads and returns tensors only. A classifier or segmentor
is one graph. A vision-language model is split at the points where a result is used
more than once: an image is encoded once for all of its questions, and the decoder
runs once for each new token.

Notation of shapes:

    ====  ==================================================
    B     batch size
    L     tokens of a text
    M     tokens of an image
    N     fused tokens
    P     tokens in the cache of the decoder
    T     new tokens of a text
    D     channels of a token
    ====  ==================================================
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from torch import nn

from mmvlfusion.hosts import Host
from mmvlfusion.models.multimodal import ImageCaptioning, VisualQuestionAnswering
from mmvlfusion.models.multimodal.base import VisionLanguageTask
from mmvlfusion.models.multimodal.fusion import FusionOutput
from mmvlfusion.models.multimodal.heads import (
    AnswerClassificationHead,
    BoxGenerationHead,
    TextGenerationHead,
)
from mmvlfusion.utils.checks import check_choice, require

Tensors = Tuple[torch.Tensor, ...]
# Axes that are dynamic in each mode. The cache always grows.
DYNAMIC_AXES = dict(
    none=('past', 'new_tokens'),
    batch=('past', 'new_tokens', 'batch'),
    size=(
        *('past', 'new_tokens', 'batch', 'height', 'width'),
        *('text_tokens', 'image_tokens', 'fused_tokens'),
    ),
)
# Tokens of the random texts and caches that trace and verify a graph.
NUM_TEXT_TOKENS = 6
NUM_NEW_TOKENS = 2


class Graph(NamedTuple):
    """A part of a model that is exported as one file.

    Attributes:
        name (str): Name of the file.
        module (nn.Module): The part, which is called with tensors.
        inputs (dict[str, dict[int, str]]): The inputs in their order, and the names
            of their axes that may be dynamic.
        outputs (tuple[str, ...]): Names of the outputs.
    """

    name: str
    module: nn.Module
    inputs: Dict[str, Dict[int, str]]
    outputs: Tuple[str, ...]

    def run(self, *tensors: torch.Tensor) -> Tensors:
        """Run the part in PyTorch.

        Args:
            *tensors (torch.Tensor): The inputs.

        Returns:
            tuple[torch.Tensor]: The outputs.
        """
        with torch.no_grad():
            result = self.module(*tensors)
        return (result,) if isinstance(result, torch.Tensor) else tuple(result)


class ImageLogits(nn.Module):
    """Logits of a classifier or segmentor of a host.

    Args:
        model (nn.Module): The model.
        host (Host): Its host.
    """

    def __init__(self, model: nn.Module, host: Host) -> None:
        super().__init__()
        self.model = model
        self.logits = host.image_logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the logits.

        Args:
            images (torch.Tensor): Normalised images, (B, C, H, W).

        Returns:
            torch.Tensor: Shape (B, classes), or (B, classes, H, W).
        """
        return self.logits(self.model, images)


class ImageEncoder(nn.Module):
    """The backbone of a vision-language model and what its fusion computes for an
    image only.

    Args:
        model (VisionLanguageTask): The model.
    """

    def __init__(self, model: VisionLanguageTask) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images.

        Args:
            images (torch.Tensor): Normalised images, (B, 3, H, W).

        Returns:
            torch.Tensor: Shape (B, M, D).
        """
        tokens, _ = self.model.encode_images(images)
        return self.model.fusion.prepare_image(tokens)[0]


class FusedInputs(nn.Module):
    """The text encoder and the fusion, with what the head computes once.

    Args:
        model (VisionLanguageTask): The model.
    """

    def __init__(self, model: VisionLanguageTask) -> None:
        super().__init__()
        self.model = model
        self.prompt: Any
        self.register_buffer(
            'prompt', torch.tensor(getattr(model.head, 'prompt', [])), persistent=False
        )

    def _fuse(self, *tensors: torch.Tensor) -> FusionOutput:
        image = text = mask = None
        if self.model.backbone is not None:
            image, *tensors = tensors  # type: ignore[assignment]
        if self.model.text_encoder is not None:
            ids, mask = tensors
            text = self.model.text_encoder(ids, mask)
        if image is None:
            return self.model.fusion(text, text_mask=mask)
        return self.model.fusion.fuse(text, image, mask, None)

    def forward(self, *tensors: torch.Tensor) -> Any:
        """Fuse, and classify or start to generate.

        Args:
            *tensors (torch.Tensor): Those that the model reads of: image tokens,
                (B, M, D); token ids, (B, L); and their mask, (B, L).

        Returns:
            torch.Tensor | tuple[torch.Tensor]: Logits of the answers, (B, answers);
            or logits of the first new token, (B, vocabulary), the mask of the fused
            tokens, (B, N), and for each layer of the decoder keys and values of the
            prompt, and keys and values of the fused tokens.
        """
        fused = self._fuse(*tensors)
        if isinstance(self.model.head, AnswerClassificationHead):
            return self.model.head(fused)
        library = require('transformers')
        cache = None
        if getattr(self.model.head.decoder, '_supports_cache_class', True):
            cache = library.EncoderDecoderCache(
                library.DynamicCache(), library.DynamicCache()
            )
        out = self.model.head.decoder(
            self.prompt.expand(fused.tokens.shape[0], -1),
            encoder_hidden_states=fused.tokens,
            encoder_attention_mask=fused.mask.long(),
            past_key_values=cache,
            use_cache=True,
        )
        layers = _layers(out.past_key_values)
        return (out.logits[:, -1], fused.mask, *(x for layer in layers for x in layer))


class CachedDecoder(nn.Module):
    """The decoder of a generation head with its cache as inputs and outputs.

    Args:
        decoder (nn.Module): A causal language model of the library transformers.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, ids: torch.Tensor, memory_mask: torch.Tensor, *cache: torch.Tensor
    ) -> Tensors:
        """Compute the logits that follow new tokens.

        Args:
            ids (torch.Tensor): The new tokens, (B, T).
            memory_mask (torch.Tensor): True at valid fused tokens, (B, N).
            *cache (torch.Tensor): For each layer keys and values of the tokens
                before, (B, heads, P, D / heads), and those of the fused tokens,
                (B, heads, N, D / heads).

        Returns:
            tuple[torch.Tensor]: Logits, (B, T, vocabulary), and for each layer keys
            and values of all tokens, (B, heads, P + T, D / heads).
        """
        past: Any = tuple(cache[i : i + 4] for i in range(0, len(cache), 4))
        if getattr(self.decoder, '_supports_cache_class', True):
            past = require('transformers').EncoderDecoderCache.from_legacy_cache(past)
        # The decoder attends to the fused tokens where there are some; it takes their
        # keys and values from the cache.
        shape = (*memory_mask.shape, self.decoder.config.hidden_size)
        out = self.decoder(
            ids,
            encoder_hidden_states=cache[0].new_zeros(shape),
            encoder_attention_mask=memory_mask.long(),
            past_key_values=past,
            use_cache=True,
        )
        layers = _layers(out.past_key_values)
        return (out.logits, *(x for layer in layers for x in layer[:2]))


def _layers(cache: Any) -> List[Tensors]:
    """Keys and values of the tokens and of the memory, for each layer."""
    if hasattr(cache, 'to_legacy_cache'):
        cache = cache.to_legacy_cache()
    return [tuple(layer) for layer in cache]


class ImageModel:
    """A classifier or segmentor as one graph.

    Args:
        model (nn.Module): The model.
        host (Host): Its host.
    """

    def __init__(self, model: nn.Module, host: Host) -> None:
        self.model = model
        axes = {0: 'batch', 2: 'height', 3: 'width'}
        module = ImageLogits(model, host)
        self.graphs = [Graph('model', module, dict(images=axes), ('logits',))]

    def random_inputs(
        self, images: torch.Tensor, num_text_tokens: int
    ) -> Iterator[Tensors]:
        """Make random inputs of each graph.

        Args:
            images (torch.Tensor): Random images, (B, C, H, W).
            num_text_tokens (int): Tokens L of a text.

        Yields:
            tuple[torch.Tensor]: Inputs of the next graph.
        """
        yield (images,)

    def batch_inputs(self, batch: dict, resize: Callable) -> Iterator[Tensors]:
        """Make the inputs of each graph for a batch of a data set.

        Args:
            batch (dict): A batch of a data loader.
            resize (Callable): Changes the size of images (B, C, H, W).

        Yields:
            tuple[torch.Tensor]: Inputs of the next graph.
        """
        images = self.model.data_preprocessor(batch, False)['inputs']
        yield (resize(images),)


class VisionLanguageGraphs:
    """A vision-language model as an image encoder, a fusion and, if it generates
    texts, a decoder with a cache.

    Args:
        model (VisionLanguageTask): The model.
    """

    def __init__(self, model: VisionLanguageTask) -> None:
        self.model = model
        self.graphs: List[Graph] = []
        batch = {0: 'batch'}
        inputs = {}
        if model.backbone is not None:
            axes = {**batch, 2: 'height', 3: 'width'}
            self.graphs.append(
                Graph(
                    'image_encoder',
                    ImageEncoder(model),
                    dict(images=axes),
                    ('image_tokens',),
                )
            )
            inputs['image_tokens'] = {**batch, 1: 'image_tokens'}
        if model.text_encoder is not None:
            text = {**batch, 1: 'text_tokens'}
            inputs.update(input_ids=text, text_mask=text)
        if isinstance(model.head, AnswerClassificationHead):
            self.graphs.append(Graph('fusion', FusedInputs(model), inputs, ('logits',)))
            return
        self.num_layers = model.head.decoder.config.num_hidden_layers
        past, memory = [{**batch, 2: axis} for axis in ('past', 'fused_tokens')]
        layers = range(self.num_layers)
        cache = {
            f'{kind}_{i}_{part}': past if kind == 'past' else memory
            for i in layers
            for kind in ('past', 'memory')
            for part in ('key', 'value')
        }
        self.graphs.append(
            Graph(
                'fusion', FusedInputs(model), inputs, ('logits', 'memory_mask', *cache)
            )
        )
        self.graphs.append(
            Graph(
                'decoder',
                CachedDecoder(model.head.decoder),
                dict(
                    ids={**batch, 1: 'new_tokens'},
                    memory_mask={**batch, 1: 'fused_tokens'},
                    **cache,
                ),
                (
                    'next_logits',
                    *(f'new_{i}_{part}' for i in layers for part in ('key', 'value')),
                ),
            )
        )

    def _inputs(
        self, images: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> Iterator[Tensors]:
        """See ``ImageModel.random_inputs``; each graph reads what those before it
        return."""
        tensors: Tensors = ()
        if self.model.backbone is not None:
            yield (images,)
            tensors += self.graphs[0].run(images)
        if self.model.text_encoder is not None:
            tensors += (ids, mask)
        yield tensors
        if self.graphs[-1].name == 'decoder':
            fusion = self.graphs[-2]
            logits, memory_mask, *cache = fusion.run(*tensors)
            new = logits.topk(NUM_NEW_TOKENS, dim=1).indices
            # A dynamic axis is traced with more than one token in the cache.
            outputs = self.graphs[-1].run(new, memory_mask, *cache)
            yield (new, memory_mask, *grow_cache(cache, outputs[1:]))

    def random_inputs(
        self, images: torch.Tensor, num_text_tokens: int
    ) -> Iterator[Tensors]:
        """See ``ImageModel``; the last text is one token shorter, if there are
        several."""
        shape = (len(images), num_text_tokens)
        ids = torch.randint(len(self.model.tokenizer), shape)
        mask = torch.ones(shape, dtype=torch.bool)
        mask[-1, -1] = len(images) == 1
        return self._inputs(images, ids, mask)

    def batch_inputs(self, batch: dict, resize: Callable) -> Iterator[Tensors]:
        """See ``ImageModel``. Texts are padded to the longest that is allowed."""
        data = self.model.data_preprocessor(batch, False)
        images, index = resize(data['images']), data['image_index']
        if index is not None:
            images = images[index]
        ids = mask = torch.zeros(0)
        if self.model.text_encoder is not None:
            questions = [sample.question for sample in data['data_samples']]
            ids, mask = pad_texts(self.model, questions)
        return self._inputs(images, ids, mask)


def grow_cache(
    cache: Sequence[torch.Tensor], new: Sequence[torch.Tensor]
) -> List[torch.Tensor]:
    """Put the outputs of the decoder into its cache.

    Args:
        cache (Sequence[torch.Tensor]): See ``CachedDecoder.forward``.
        new (Sequence[torch.Tensor]): For each layer the keys and values that it
            returned.

    Returns:
        list[torch.Tensor]: The cache for the next tokens.
    """
    grown = list(cache)
    grown[0::4], grown[1::4] = new[0::2], new[1::2]
    return grown


def pad_texts(
    model: VisionLanguageTask, texts: List[str]
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Convert texts to token ids of the largest length.

    Args:
        model (VisionLanguageTask): The model.
        texts (list[str]): The texts.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Token ids and a mask, True at valid tokens,
        (B, ``max_text_length``) each.
    """
    ids, mask = model.tokenize(texts, torch.device('cpu'))
    if mask is None:
        mask = torch.ones_like(ids, dtype=torch.bool)
    missing = (0, model.max_text_length - ids.shape[1])
    padding = model.tokenizer.pad_token_id
    return (
        nn.functional.pad(ids, missing, value=padding),
        nn.functional.pad(mask, missing),
    )


def split_model(model: nn.Module, host: Host) -> Any:
    """Split a model into graphs.

    Args:
        model (nn.Module): A model of a host, in evaluation mode.
        host (Host): The host.

    Returns:
        ImageModel | VisionLanguageGraphs: The graphs with their inputs.

    Raises:
        ValueError: If models of its type cannot be exported.
    """
    if isinstance(model, (VisualQuestionAnswering, ImageCaptioning)):
        head = model.head
        generates = isinstance(head, TextGenerationHead)
        if isinstance(head, BoxGenerationHead) or not (
            generates or isinstance(head, AnswerClassificationHead)
        ):
            raise ValueError(
                f'The head {type(head).__name__} of {type(model).__name__} cannot be '
                'exported: expected an AnswerClassificationHead or a '
                'TextGenerationHead.'
            )
        return VisionLanguageGraphs(model)
    if host.can_export(model):
        return ImageModel(model, host)
    raise ValueError(
        f'{type(model).__name__} of {host.name} cannot be exported: expected a '
        'classifier of mmpretrain, an EncoderDecoder of mmseg, '
        'VisualQuestionAnswering or ImageCaptioning.'
        + (
            ' The boxes of a detector are selected by its host: use its own tool for '
            'deployment.'
            if host.name == 'mmdet'
            else ''
        )
    )


def dynamic_axes(graph: Graph, dynamic: str) -> List[Dict[int, str]]:
    """Select the dynamic axes of the inputs of a graph.

    Args:
        graph (Graph): The graph.
        dynamic (str): ``'none'``, ``'batch'``, or ``'size'``: batch, sizes of images
            and lengths of texts.

    Returns:
        list[dict[int, str]]: For each input the names of its dynamic axes.
    """
    check_choice('dynamic', dynamic, tuple(DYNAMIC_AXES))
    kept = DYNAMIC_AXES[dynamic]
    return [
        {axis: name for axis, name in axes.items() if name in kept}
        for axes in graph.inputs.values()
    ]
