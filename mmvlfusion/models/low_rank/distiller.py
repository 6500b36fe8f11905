"""PELA's intermediate pre-training: a low-rank student is trained with its
dense teacher (arXiv 2310.10700, Section 3)."""

import copy
from typing import Any, Iterable, List, Optional, Union

import torch
import torch.nn as nn
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS as HOST_MODELS
from mmengine.runner.checkpoint import CheckpointLoader

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice

from ..utils import (
    check_checkpoint,
    matching_modules,
    packed_attention,
    recorded_outputs,
    resolve,
)
from .compression import merge_
from .linear import LowRankLinear
from .presets import FEATURES

FORMS = ('paper', 'code')
FEATURE_PASSES = ('loss', 'tensor')


class _Teacher:
    """Holds a model so that its owner neither registers nor copies it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)

    def __deepcopy__(self, memo: dict) -> '_Teacher':
        return self


@MODELS.register_module()
class PELADistiller(BaseModel):
    """Train a low-rank model with its own loss, feature distillation and
    regularised weight perturbation.

    The loss is L = L_base + alpha * L_fd + beta * L_rwp (Section 3.4, Eq. 7).
    Both models run on the same batch. The teacher is frozen, in evaluation
    mode, and outside the state dict and the optimizer. The student starts from
    the factorised teacher; its weights have the prefix ``student.`` in
    checkpoints.

    Args:
        student (dict): Config of the low-rank model: a classifier, detector,
            segmentor or any other model whose ``mode='loss'`` returns a dict
            of losses.
        teacher_ckpt (str, optional): File or address of the dense model's
            weights, read like ``load_from``. Only needed for training.
        features (str | Iterable[str]): The modules whose outputs are compared:
            the name of a preset (``'vit'``, ``'tnt'``, ``'swin'``, ``'bert'``:
            the output of every block; ``'pooled'``: that of the neck), or
            regular expressions that match whole names of modules.
        feature_weight (float): alpha. Defaults to 1.
        perturbation_weight (float): beta. Defaults to 1.
        radius (float): epsilon of L_rwp. Defaults to 1e-3.
        form (str): ``'paper'``: L_fd is the mean over features of half the
            squared distance (Section 3.2, Eq. 4), and L_rwp the sum over
            matrices of max|W^ - W| - epsilon (Section 3.3, Eq. 5-6).
            ``'code'``, as released: L_fd is the mean over features of the
            mean squared error of their elements, and L_rwp the mean over
            matrices of the square of max|W^ - W| - epsilon. Distances are
            averaged over the images. Matrices of EMA models are not trained
            and do not count, while they do in the released code of ALBEF, with
            a constant factor. Defaults to ``'paper'``.
        feature_pass (str): The forward pass of the student whose features are
            compared: ``'loss'``, that of its own loss, or ``'tensor'``, an
            additional one, for models whose loss runs a module more than
            once. Defaults to ``'loss'``.
        teacher (dict, optional): Config of the dense model. Defaults to None:
            the student with merged low-rank layers.
        data_preprocessor (dict, optional): Passed to the student if its config
            has none.

    Raises:
        ValueError: If ``form`` or ``feature_pass`` is not one of its choices,
            the student has no low-rank layer, the patterns match no module or
            different numbers of modules in student and teacher, or (when
            training starts) the teacher's checkpoint is not given or of
            another architecture.
    """

    def __init__(
        self,
        student: dict,
        teacher_ckpt: Optional[str],
        features: Union[str, Iterable[str]],
        feature_weight: float = 1.0,
        perturbation_weight: float = 1.0,
        radius: float = 1e-3,
        form: str = 'paper',
        feature_pass: str = 'loss',
        teacher: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
    ) -> None:
        super().__init__()
        check_choice('form', form, FORMS)
        check_choice('feature_pass', feature_pass, FEATURE_PASSES)
        if data_preprocessor is not None:
            student = {'data_preprocessor': data_preprocessor, **student}
        # Some hosts' modules write into their config while they are built.
        self.student = HOST_MODELS.build(copy.deepcopy(student))
        self.data_preprocessor = self.student.data_preprocessor
        self.teacher_ckpt = teacher_ckpt
        self.feature_weight = feature_weight
        self.perturbation_weight = perturbation_weight
        self.radius = radius
        self.form = form
        self.feature_pass = feature_pass
        dense = HOST_MODELS.build(
            copy.deepcopy(student if teacher is None else teacher)
        )
        merge_(dense)
        self._teacher = _Teacher(dense)
        patterns = resolve(features, FEATURES, 'features')
        self._taps = matching_modules(self.student, patterns)
        self._teacher_taps = matching_modules(dense, patterns)
        if len(self._taps) != len(self._teacher_taps):
            raise ValueError(
                f'features={list(patterns)} match {len(self._taps)} modules of '
                f'the student and {len(self._teacher_taps)} of the teacher; '
                'their outputs are compared in pairs.'
            )
        self._low_rank = _trained_low_rank_layers(self.student, dense)

    @property
    def teacher(self) -> nn.Module:
        """nn.Module: The dense model."""
        return self._teacher.model

    @property
    def deploy_model(self) -> nn.Module:
        """nn.Module: The model to be used after training, the student."""
        return self.student

    def _apply(self, fn, *args) -> nn.Module:
        self.teacher._apply(fn, *args)
        return super()._apply(fn, *args)

    def init_weights(self) -> None:
        """Load the teacher and factorise it for the student.

        Raises:
            ValueError: If the teacher's checkpoint is not given or of another
                architecture.
        """
        if not self.teacher_ckpt:
            raise ValueError(
                'teacher_ckpt is not set: give the file of the '
                "dense model's weights, in the config or by "
                '--cfg-options model.teacher_ckpt=FILE.'
            )
        MMLogger.get_current_instance().info(
            f'Loading the teacher from {self.teacher_ckpt}.'
        )
        check_checkpoint(self.teacher_ckpt)
        checkpoint = CheckpointLoader.load_checkpoint(
            self.teacher_ckpt, map_location='cpu'
        )
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
        try:
            self.teacher.load_state_dict(weights)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f'The teacher {self.teacher_ckpt} does not fit the student, '
                f'{type(self.student).__name__} without its low-rank layers: '
                f'{error}'
            ) from error
        self.student.load_state_dict(self.teacher.state_dict())

    def forward(self, *args, mode: str = 'tensor', **kwargs) -> Any:
        """Run the student, in training together with the teacher.

        Args:
            *args: Inputs of the student.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
            **kwargs: Further inputs of the student.

        Returns:
            Any: The output of the student. With ``mode='loss'`` its losses, of
            which one named ``loss`` is renamed to ``loss_base``, with
            ``loss_fd`` and ``loss_rwp``.
        """
        if mode != 'loss':
            return self.student(*args, mode=mode, **kwargs)
        with recorded_outputs(self.student, self._taps) as features:
            losses = dict(self.student(*args, mode='loss', **kwargs))
        if 'loss' in losses:  # mmengine's name of the total.
            losses['loss_base'] = losses.pop('loss')
        if self.feature_weight:
            if self.feature_pass == 'tensor':
                with recorded_outputs(self.student, self._taps) as features:
                    self.student(*args, mode='tensor', **kwargs)
            with (
                torch.no_grad(),
                recorded_outputs(self.teacher, self._teacher_taps) as targets,
            ):
                self.teacher(*args, mode='tensor', **kwargs)
            losses['loss_fd'] = self.feature_weight * self.feature_distance(
                features, targets
            )
        if self.perturbation_weight:
            losses['loss_rwp'] = self.perturbation_weight * self.weight_perturbation()
        return losses

    def feature_distance(
        self, features: List[torch.Tensor], targets: List[torch.Tensor]
    ) -> torch.Tensor:
        """Compute L_fd (Section 3.2, Eq. 4).

        Args:
            features (list[torch.Tensor]): Features of the student, (B, ...)
                each.
            targets (list[torch.Tensor]): Those of the teacher.

        Returns:
            torch.Tensor: The loss, a scalar.

        Raises:
            ValueError: If there are different numbers of features.
        """
        if len(features) != len(targets):
            raise ValueError(
                f'The student returned {len(features)} features and the '
                f'teacher {len(targets)}: the modules of `features` must run '
                "equally often in both. If the student's loss runs them more "
                "than once, set feature_pass='tensor'."
            )
        distances = []
        for x, target in zip(features, targets):
            square = (x.float() - target.float()).square()
            distances.append(
                square.mean() if self.form == 'code' else square.sum() / (2 * len(x))
            )
        return torch.stack(distances).mean()

    def weight_perturbation(self) -> torch.Tensor:
        """Compute L_rwp of the trained low-rank weights (Section 3.3, Eq. 5-6).

        Returns:
            torch.Tensor: The loss, a scalar.
        """
        device = next(self.student.parameters()).device.type
        with torch.autocast(device, enabled=False):
            excess = torch.stack(
                [
                    (
                        self.student.get_submodule(name).weight
                        - _dense_weight(self.teacher, name)
                    )
                    .abs()
                    .amax()
                    - self.radius
                    for name in self._low_rank
                ]
            )
        return excess.square().mean() if self.form == 'code' else excess.sum()


def _trained_low_rank_layers(student: nn.Module, dense: nn.Module) -> List[str]:
    """Names of the low-rank layers with gradients; each low-rank layer must
    have a dense one of its shape in the teacher."""
    layers = {
        name: layer
        for name, layer in student.named_modules()
        if isinstance(layer, LowRankLinear)
    }
    if not layers:
        raise ValueError(
            f'The student {type(student).__name__} has no low-rank layer: '
            'build it, or a part of it, by mmvlfusion.LowRank.'
        )
    for name, layer in layers.items():
        expected = (layer.out_features, layer.in_features)
        try:
            shape = tuple(_dense_weight(dense, name).shape)
        except AttributeError as error:
            raise ValueError(
                f'The teacher has no layer {name}, which is a '
                'low-rank one of the student.'
            ) from error
        if shape != expected:
            raise ValueError(
                f'{name} is {shape} in the teacher and {expected} in the '
                'student: they must have the same architecture.'
            )
    # EMA models are not trained.
    return [name for name, layer in layers.items() if layer.up.requires_grad]


def _dense_weight(model: nn.Module, name: str) -> torch.Tensor:
    """The dense weight that corresponds to a low-rank layer."""
    attention = packed_attention(model, name)
    if attention is not None:
        return attention.in_proj_weight
    return model.get_submodule(name).weight
