"""Pre-training on images with captions."""

import hashlib
from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from .base import VisionLanguageModel
from .fusion import select_rows
from .objectives import ContrastiveObjective, FeatureQueue, ImageTextPairs, Objective


class EMAModel(ExponentialMovingAverage):
    """A moving average of a model, whose layers may be replaced later by
    low-rank ones.

    Where a checkpoint holds its weights in another form, it starts anew:
    factors of the copy would be in other bases than those of the model.
    """

    def update_parameters(self, model: nn.Module) -> None:
        """See ``ExponentialMovingAverage``."""
        self.avg_parameters = dict(self.module.named_parameters())
        super().update_parameters(model)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        within = prefix + 'module.'
        own = {within + name for name in self.module.state_dict()}
        if any(name.startswith(within) and name not in own for name in state_dict):
            self.steps.zero_()


@MODELS.register_module()
class VisionLanguagePretraining(VisionLanguageModel):
    """The encoders and the fusion, trained by objectives on captioned images
    (mPLUG, arXiv 2205.12005, Section 3.3).

    An exponential moving average of encoders, fusion and objectives gives the
    contrastive keys and the soft targets. The authors' code leaves the fusion
    out of it, so that its soft targets come from random or stale weights; here
    it takes part.

    Args:
        objectives (dict[str, dict]): Configs of the objectives, by names of
            which the losses are called ``loss_{name}``.
        head (dict, optional): Config of the head that generates text, for the
            objectives that need one. Defaults to None.
        momentum (float): Share of the moving average that stays in a step.
            Defaults to 0.995.
        queue_size (int): Pairs of former batches that a contrastive objective
            compares with. Defaults to 65536.
        **kwargs: See ``VisionLanguageModel``.

    Raises:
        ValueError: If an objective needs a stream of the fusion or a head that
            is not there, there are no objectives, or two contrastive ones.
    """

    def __init__(
        self,
        objectives: Dict[str, dict],
        head: Optional[dict] = None,
        momentum: float = 0.995,
        queue_size: int = 65536,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        defaults = dict(embed_dims=self.fusion.embed_dims, tokenizer=self.tokenizer)
        self.objectives = nn.ModuleDict(
            {
                name: MODELS.build(objective, default_args=defaults)
                for name, objective in objectives.items()
            }
        )
        for name, objective in self.objectives.items():
            objective.name = name
        self._check_objectives(head)
        names = self.names_of(ContrastiveObjective)
        if len(names) > 1:
            raise ValueError(
                f'The objectives {names} are both contrastive: '
                'their queue would be one.'
            )
        self.contrastive = names[0] if names else None
        self.ema_model = None
        self.ema_model = EMAModel(self, 1 - momentum)
        self.head = (
            None
            if head is None
            else MODELS.build(head, default_args=dict(tokenizer=self.tokenizer))
        )
        if self.contrastive is not None:
            self.queue = FeatureQueue(
                queue_size, self.objectives[self.contrastive].feature_dims
            )

    def names_of(self, kind: Type[Objective]) -> List[str]:
        """The names of the objectives of a kind."""
        return [
            name
            for name, objective in self.objectives.items()
            if isinstance(objective, kind)
        ]

    def _check_objectives(self, head: Optional[dict]) -> None:
        if not self.objectives:
            raise ValueError('objectives={}: name at least one.')
        fusion = type(self.fusion).__name__
        if self.backbone is None:
            raise ValueError('Pre-training needs a backbone.')
        for name, objective in self.objectives.items():
            missing = set(objective.streams) - set(self.fusion.streams)
            if missing:
                raise ValueError(
                    f'The objective {name!r} ({type(objective).__name__}) '
                    f'reads the stream {" and ".join(sorted(missing))} of the '
                    f'fusion, which {fusion} does not keep apart: choose '
                    'another fusion, such as SkipConnectedFusion, or leave the '
                    'objective out.'
                )
            if objective.generates and head is None:
                raise ValueError(
                    f'The objective {name!r} needs a head that '
                    'generates text: set head.'
                )

    def train(self, mode: bool = True) -> 'VisionLanguagePretraining':
        """See ``torch.nn.Module``; the moving average has no dropout."""
        super().train(mode)
        if self.ema_model is not None:
            self.ema_model.eval()
        return self

    def forward(
        self,
        images: torch.Tensor,
        data_samples: List[Any],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Any:
        """Train, or fuse.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            data_samples (list[DataSample]): One a caption, with ``gt_caption``
                or ``text``, and ``image_id``, which defaults to ``img_path``.
                Where all name one of the objectives as their ``task``, it is
                the only one in training.
            image_index (torch.Tensor, optional): The image of each caption.
                Defaults to one caption an image.
            image_mask (torch.Tensor, optional): True at real pixels, (B, H,
                W). Defaults to all.
            mode (str): ``'loss'`` or ``'tensor'``.

        Returns:
            dict | FusionOutput: The loss of each objective with its weight; or
            the fused tokens.

        Raises:
            ValueError: If a caption is empty, or a task unknown.
        """
        check_choice('mode', mode, ('loss', 'tensor'))
        captions = [caption_of(sample) for sample in data_samples]
        ids, text_mask = self.tokenize(captions, images.device)
        batch = dict(
            captions=captions,
            image_ids=torch.tensor(
                [image_hash(sample) for sample in data_samples], device=images.device
            ),
            ids=ids,
            text_mask=text_mask,
        )
        pairs = self.encode_pairs(images, image_index, image_mask, **batch)
        if mode == 'tensor':
            return self.fusion.fuse(
                pairs.text, pairs.image, text_mask, pairs.image_mask
            )
        chosen = self._chosen(data_samples)
        with torch.no_grad():
            self.ema_model.update_parameters(self)
            if any(objective.uses_ema for _, objective in chosen):
                pairs.ema = self.ema_model.module.encode_pairs(
                    images, image_index, image_mask, **batch
                )
        if self.contrastive is not None:
            pairs.similarity = self.objectives[self.contrastive].similarity(pairs)
        return {
            f'loss_{name}': objective.weight * objective(self, pairs)
            for name, objective in chosen
        }

    def _chosen(self, samples: List[Any]) -> List[Tuple[str, Objective]]:
        """The objectives of a batch: all, or that of the samples' ``task``."""
        tasks = {sample.get('task') for sample in samples}
        if tasks == {None}:
            return list(self.objectives.items())
        if len(tasks) > 1 or not tasks <= set(self.objectives):
            raise ValueError(
                f'A batch has samples of the tasks {sorted(map(str, tasks))}, '
                f'and should have one of {list(self.objectives)}: use '
                'TaskMixtureSampler, and the names of the objectives.'
            )
        (task,) = tasks
        return [(task, self.objectives[task])]

    def encode_pairs(
        self,
        images: torch.Tensor,
        image_index: Optional[torch.Tensor],
        image_mask: Optional[torch.Tensor],
        ids: torch.Tensor,
        text_mask: Optional[torch.Tensor],
        **kwargs,
    ) -> ImageTextPairs:
        """Encode images and captions; see ``forward`` and
        ``ImageTextPairs``."""
        image, mask = self.fusion.prepare_image(*self.encode_images(images, image_mask))
        images, image, mask = select_rows(image_index, images, image, mask)
        return ImageTextPairs(
            images=images,
            image=image,
            image_mask=mask,
            text=self.text_encoder(ids, text_mask),
            ids=ids,
            text_mask=text_mask,
            **kwargs,
        )


def caption_of(sample: Any) -> str:
    """The caption of a ``DataSample``.

    Raises:
        ValueError: If it is empty.
    """
    caption = sample.get('gt_caption', sample.get('text'))
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(
            f'The image {sample.get("img_path", "")} has the caption '
            f'{caption!r} and needs some words: leave it out, or let the '
            "pipeline's last step pack gt_caption."
        )
    return caption


def image_hash(sample: Any) -> int:
    """A number of the image of a ``DataSample``, equal on all machines."""
    number = sample.get('image_id', sample.get('img_path'))
    if isinstance(number, int):
        return number
    name = hashlib.blake2b(str(number).encode(), digest_size=7)
    return int.from_bytes(name.digest(), 'big')
