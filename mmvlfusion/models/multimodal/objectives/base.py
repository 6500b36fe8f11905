"""Base class of the pre-training objectives and the batch that they read.

Notation of shapes:

    ====  ==================================================
    B     batch size, the number of pairs
    L     tokens of a caption
    M     tokens of an image
    D     channels of a text token and of a fused token
    H W   height and width of an image in pixels
    ====  ==================================================
"""

from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule

from mmvlfusion.utils.checks import check_number

# Avoids a division by zero where no rank has a term.
MIN_NUMBER = 1e-6


@dataclass
class ImageTextPairs:
    """An encoded batch of images, each with one caption.

    Attributes:
        images (torch.Tensor): The images, (B, 3, H, W).
        captions (list[str]): The captions.
        image_ids (torch.Tensor): Integer id of each image, (B). Captions with
            equal ids describe the same image.
        image (torch.Tensor): Image tokens from ``Fusion.prepare_image``,
            (B, M, D).
        image_mask (torch.Tensor, optional): True at valid image tokens,
            (B, M). None if all are valid.
        text (torch.Tensor): Encoded caption tokens, (B, L, D).
        ids (torch.Tensor): Token ids of the captions, (B, L).
        text_mask (torch.Tensor, optional): True at valid text tokens, (B, L).
            None if all are valid.
        ema (ImageTextPairs, optional): The same batch encoded by the EMA model.
            None if no objective uses it. Defaults to None.
        similarity (tuple[torch.Tensor, torch.Tensor], optional): Similarity
            logits of each image to all captions, and of each caption to all
            images, (B, B) each. None without a contrastive objective, or if no
            objective uses it. Defaults to None.
    """

    images: torch.Tensor
    captions: List[str]
    image_ids: torch.Tensor
    image: torch.Tensor
    image_mask: Optional[torch.Tensor]
    text: torch.Tensor
    ids: torch.Tensor
    text_mask: Optional[torch.Tensor]
    ema: Optional['ImageTextPairs'] = None
    similarity: Optional[Tuple[torch.Tensor, torch.Tensor]] = None


class Objective(BaseModule):
    """Base class of the pre-training objectives.

    Args:
        embed_dims (int): Channels D of the fused tokens. The enclosing model
            sets it.
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer. The
            enclosing model sets it.
        weight (float): Weight of the loss. Defaults to 1.
        init_cfg (dict, optional): Initialisation. Defaults to a normal
            distribution with a standard deviation of 0.02, as in BERT.
    """

    #: Streams of the fusion that the objective reads.
    streams: Tuple[str, ...] = ()
    #: Whether the objective reads the output of the EMA model.
    uses_ema = False
    #: Whether the objective reads the similarity of a contrastive objective.
    uses_similarity = False
    #: Whether the objective needs a head that generates text.
    generates = False
    #: Name of the objective. The enclosing model sets it.
    name = ''

    def __init__(
        self,
        embed_dims: int,
        tokenizer: Any,
        weight: float = 1.0,
        init_cfg: Optional[dict] = dict(type='Normal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        check_number('weight', weight, 0)
        self.embed_dims = embed_dims
        self.tokenizer = tokenizer
        self.weight = weight

    def connect(self, model: torch.nn.Module) -> None:
        """Share weights with the model. It is called once, when it is built.

        Args:
            model (VisionLanguagePretraining): The enclosing model.
        """

    def load_pretrained(self) -> None:
        """Load pretrained weights, if there are any, after the model is initialised."""

    def forward(self, model: torch.nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """Compute the loss, without its weight.

        Args:
            model (VisionLanguagePretraining): The model in training.
            pairs (ImageTextPairs): The batch.

        Returns:
            torch.Tensor: The loss, a scalar.
        """
        raise NotImplementedError


def mean_over_ranks(total: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """Normalise a sum by the average number of terms per rank.

    The average of the result over ranks is the mean over the terms of all
    ranks.

    Args:
        total (torch.Tensor): Sum over the terms of this rank, a scalar.
        number (torch.Tensor): Number of terms of this rank, a scalar.

    Returns:
        torch.Tensor: The normalised sum, a scalar.
    """
    number = number.to(total).detach().clone()
    all_reduce(number, op='mean')
    return total / number.clamp(min=MIN_NUMBER)
