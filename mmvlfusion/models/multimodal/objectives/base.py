"""What all pre-training objectives share."""

from dataclasses import dataclass
from typing import List, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule


@dataclass
class ImageTextPairs:
    """B images with a caption each, encoded: what an objective reads.

    Attributes:
        images (torch.Tensor): The images, (B, 3, H, W).
        captions (list[str]): The captions.
        image_ids (torch.Tensor): A number of each image, (B); captions of equal
            numbers describe one image.
        image (torch.Tensor): What the fusion prepared of the images, (B, M, D).
        image_mask (torch.Tensor, optional): Its real tokens, (B, M).
        text (torch.Tensor): Tokens of the captions, (B, L, D).
        ids (torch.Tensor): Their indices in the vocabulary, (B, L).
        text_mask (torch.Tensor, optional): Those that are real, (B, L).
        momentum (ImageTextPairs, optional): The same of the momentum encoders,
            where an objective uses it.
        similarity (torch.Tensor, optional): How much image i resembles caption
            j as logits, (B, B), where a contrastive objective knows it.
    """

    images: torch.Tensor
    captions: List[str]
    image_ids: torch.Tensor
    image: torch.Tensor
    image_mask: Optional[torch.Tensor]
    text: torch.Tensor
    ids: torch.Tensor
    text_mask: Optional[torch.Tensor]
    momentum: Optional['ImageTextPairs'] = None
    similarity: Optional[torch.Tensor] = None


class Objective(BaseModule):
    """Base of the pre-training objectives.

    Args:
        embed_dims (int): Channels D of the fused tokens; the model around the
            objective sets it, and ``tokenizer``.
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer.
        weight (float): Weight of the loss. Defaults to 1.
        init_cfg (dict, optional): Initialisation. Defaults to a normal
            distribution with a deviation of 0.02, as BERT has it.
    """

    #: Streams of the fusion that the objective reads.
    streams = ()
    #: Whether it reads what the momentum encoders make of the pairs.
    uses_ema = False
    #: Whether the model needs a head that generates text.
    generates = False
    #: Its name in the model, which sets it.
    name = ''

    def __init__(
        self,
        embed_dims: int,
        tokenizer: object,
        weight: float = 1.0,
        init_cfg: Optional[dict] = dict(type='Normal', layer='Linear', std=0.02),
    ) -> None:
        super().__init__(init_cfg)
        self.embed_dims = embed_dims
        self.tokenizer = tokenizer
        self.weight = weight

    def forward(self, model: torch.nn.Module, pairs: ImageTextPairs) -> torch.Tensor:
        """The loss, without its weight.

        Args:
            model (VisionLanguagePretraining): The model that is trained.
            pairs (ImageTextPairs): A batch.
        """
        raise NotImplementedError


def mean_over_ranks(total: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """A sum over ``number`` terms, divided so that the average over ranks is
    the mean of all ranks' terms."""
    number = number.to(total).detach().clone()
    all_reduce(number, op='mean')
    return total / number.clamp(min=1e-6)
