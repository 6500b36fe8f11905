"""Pre-training on images with captions.

Notation of shapes:

    ====  =======================================
    B     images of a batch
    Q     captions of a batch
    L     tokens of a caption
    H W   height and width of an image in pixels
    ====  =======================================
"""

import hashlib
from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from torch import nn

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from .base import VisionLanguageModel
from .ema import EMAModel
from .fusion import select_rows
from .objectives import ContrastiveObjective, FeatureQueue, ImageTextPairs, Objective


@MODELS.register_module()
class VisionLanguagePretraining(VisionLanguageModel):
    """Encoders and fusion, trained by objectives on captioned images
    (mPLUG, arXiv 2205.12005, Section 3.3).

    An EMA model of the encoders, the fusion and the objectives computes the
    contrastive keys and the soft targets. In the authors' code the EMA model
    does not include the fusion, so soft targets come from random or stale
    weights. Here it does.

    Args:
        objectives (dict[str, dict]): Configs of the objectives by name. The
            losses are called ``loss_{name}``.
        head (dict, optional): Config of the head that generates text, for the
            objectives that need one. Defaults to None.
        momentum (float): Weight of the previous average in an update of the EMA
            model. Defaults to 0.995.
        queue_size (int): Entries of the queue of a contrastive objective.
            Defaults to 65536.
        **kwargs: See ``VisionLanguageModel``.

    Raises:
        ValueError: If there are no objectives, more than one contrastive
            objective, no backbone, or if an objective needs a stream of the
            fusion or a head that does not exist.
    """

    fuses_texts = False

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
            objective.connect(self)
        self._check_objectives(head)
        names = self.names_of(ContrastiveObjective)
        if len(names) > 1:
            raise ValueError(
                f'The objectives {names} are both contrastive, but there is one '
                'queue only: keep one of them.'
            )
        self.contrastive = names[0] if names else None
        # ``EMAModel`` deep-copies the modules that exist at this point. Head and
        # queue are built after it, because the EMA model needs neither: the
        # soft targets do not use the head, and there is one queue for all keys.
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

    def init_weights(self) -> None:
        """Initialise the model, and load the pretrained parts of the objectives."""
        super().init_weights()
        for objective in self.objectives.values():
            objective.load_pretrained()

    def names_of(self, kind: Type[Objective]) -> List[str]:
        """List the objectives of a class.

        Args:
            kind (type): The class.

        Returns:
            list[str]: Their names.
        """
        return [
            name
            for name, objective in self.objectives.items()
            if isinstance(objective, kind)
        ]

    def _check_objectives(self, head: Optional[dict]) -> None:
        """Check that the model has what the objectives need."""
        if not self.objectives:
            raise ValueError('objectives={} is empty: set at least one objective.')
        fusion = type(self.fusion).__name__
        if self.backbone is None:
            raise ValueError('Pre-training needs a backbone: set backbone.')
        for name, objective in self.objectives.items():
            missing = set(objective.streams) - set(self.fusion.streams)
            if missing:
                raise ValueError(
                    f'The objective {name!r} ({type(objective).__name__}) reads '
                    f'the {" and ".join(sorted(missing))} stream of the fusion, '
                    f'but {fusion} does not return it: choose another fusion, '
                    'such as SkipConnectedFusion, or remove the objective.'
                )
            if objective.generates and head is None:
                raise ValueError(
                    f'The objective {name!r} needs a head that generates text: '
                    'set head.'
                )

    def forward(
        self,
        images: torch.Tensor,
        data_samples: List[Any],
        image_index: Optional[torch.Tensor] = None,
        image_mask: Optional[torch.Tensor] = None,
        mode: str = 'tensor',
    ) -> Any:
        """Compute the losses, or fuse images and captions.

        Args:
            images (torch.Tensor): Shape (B, 3, H, W).
            data_samples (list[DataSample]): One per caption, with
                ``gt_caption`` or ``text``, and ``img_path`` or ``image_id``, see
                ``image_hash``. If all have the name of one objective as their
                ``task``, only this objective is used.
            image_index (torch.Tensor, optional): Index of the image of each
                caption, (Q). Defaults to None, one caption per image.
            image_mask (torch.Tensor, optional): True at valid pixels, (B, H,
                W). Defaults to None, all.
            mode (str): ``'loss'`` or ``'tensor'``. Defaults to ``'tensor'``.

        Returns:
            dict | FusionOutput: The weighted loss of each objective, or the
            fused tokens.

        Raises:
            ValueError: If a caption is empty, or a task is unknown.
        """
        check_choice('mode', mode, ('loss', 'tensor'))
        captions = [caption_of(sample) for sample in data_samples]
        ids, text_mask = self.tokenize(captions, images.device)
        image_ids = torch.tensor(
            [image_hash(sample) for sample in data_samples], device=images.device
        )
        batch = dict(
            captions=captions, image_ids=image_ids, ids=ids, text_mask=text_mask
        )
        pairs = self.encode_pairs(images, image_index, image_mask, **batch)
        if mode == 'tensor':
            return self.fusion.fuse(
                pairs.text, pairs.image, text_mask, pairs.image_mask
            )
        chosen = self._choose_objectives(data_samples)
        uses_similarity = self.contrastive is not None and any(
            objective.uses_similarity for _, objective in chosen
        )
        with torch.no_grad():
            self.ema_model.update_parameters(self)
            if uses_similarity or any(objective.uses_ema for _, objective in chosen):
                pairs.ema = self.ema_model.module.encode_pairs(
                    images, image_index, image_mask, **batch
                )
        if uses_similarity:
            pairs.similarity = self.objectives[self.contrastive].similarity(self, pairs)
        return {
            f'loss_{name}': objective.weight * objective(self, pairs)
            for name, objective in chosen
        }

    def _choose_objectives(self, samples: List[Any]) -> List[Tuple[str, Objective]]:
        """The objectives of a batch: all, or that of the samples' ``task``."""
        tasks = {sample.get('task') for sample in samples}
        if tasks == {None}:
            return list(self.objectives.items())
        if len(tasks) > 1 or not tasks <= set(self.objectives):
            raise ValueError(
                f'A batch has samples of the tasks {sorted(map(str, tasks))}, '
                f'expected one of {list(self.objectives)}: use '
                'TaskMixtureSampler, and the names of the objectives as tasks.'
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
        """Encode images and captions.

        Args:
            images (torch.Tensor): See ``forward``.
            image_index (torch.Tensor, optional): See ``forward``.
            image_mask (torch.Tensor, optional): See ``forward``.
            ids (torch.Tensor): Token ids of the captions, (Q, L).
            text_mask (torch.Tensor, optional): True at valid tokens, (Q, L).
            **kwargs: Other fields of ``ImageTextPairs``.

        Returns:
            ImageTextPairs: The Q pairs.
        """
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
    """Get the caption of a sample.

    Args:
        sample (DataSample): The sample, with ``gt_caption`` or ``text``.

    Returns:
        str: The caption.

    Raises:
        ValueError: If it is missing or empty.
    """
    caption = sample.get('gt_caption', sample.get('text'))
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(
            f'The image {sample.get("img_path", "")} has the caption '
            f'{caption!r}, expected a text with words: remove the image from '
            "the data, or let the pipeline's last step pack gt_caption."
        )
    return caption


def image_hash(sample: Any) -> int:
    """Compute an integer id of the image of a sample.

    Args:
        sample (DataSample): The sample. ``img_path`` identifies the image,
            because data sets may use the same ids; images without a path need
            an ``image_id``.

    Returns:
        int: A hash that is equal on all machines.

    Raises:
        ValueError: If the sample has neither of the two.
    """
    image_id = sample.get('img_path')
    if image_id is None:
        image_id = sample.get('image_id')
    if image_id is None:
        raise ValueError(
            f'The image of the caption {caption_of(sample)!r} has no img_path and '
            "no image_id: add 'img_path' to the meta_keys of the pipeline's last "
            'step.'
        )
    # Seven bytes fit into a signed 64-bit integer.
    digest = hashlib.blake2b(str(image_id).encode(), digest_size=7).digest()
    return int.from_bytes(digest, 'big')
