"""A student that is trained with a teacher."""

import copy
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
import torch.nn as nn
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS as HOST_MODELS
from mmengine.runner.checkpoint import CheckpointLoader

from mmvlfusion.registry import MODELS
from mmvlfusion.utils.checks import check_choice, check_number

from ..utils import check_checkpoint
from .features import Features, pair_layers
from .losses import DistillationLoss

FEATURE_PASSES = ('loss', 'tensor')


class _Teacher:
    """Holds a model so that its owner neither registers nor copies it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)

    def __deepcopy__(self, memo: dict) -> '_Teacher':
        return self


@MODELS.register_module()
class FeatureDistiller(BaseModel):
    """Train a model with its own loss and with losses that compare it with a teacher.

    Both models run on the same batch. The teacher is frozen, in evaluation mode, and
    outside the state dict and the optimizer. The weights of the student have the
    prefix ``student.`` in checkpoints, those of projections ``losses.``.

    Args:
        student (dict): Config of the model: a classifier, detector, segmentor or any
            other model whose ``mode='loss'`` returns a dict of losses.
        teacher (dict): Config of the teacher.
        teacher_ckpt (str, optional): File or address of the weights of the teacher,
            read like ``load_from``. Only needed for training.
        losses (dict[str, dict]): Config of each ``DistillationLoss`` by its name. The
            loss ``NAME`` is logged as ``loss_NAME``.
        initial_blocks (str | Iterable[str] | dict[str, str], optional): The blocks of
            the student that start from blocks of the teacher, see ``pair_layers``:
            ``'vit'`` takes every second block for a student of half the depth. All
            other weights with a name and a shape of the teacher's start from it as
            well. Defaults to None: the student starts from its own initialisation.
        base_weight (float): Weight of the student's own losses. With 0 they are not
            computed. Defaults to 1.
        feature_pass (str): The forward pass of the student whose features are
            compared: ``'loss'``, the pass of its own loss, or ``'tensor'``, an
            additional one, for models whose loss runs a module more than
            once. Defaults to ``'loss'``.
        data_preprocessor (dict, optional): Passed to the student if its config
            has none.

    Raises:
        ValueError: If ``feature_pass`` is not one of its choices, student and teacher
            do not fit the losses or ``initial_blocks``, or (when training starts) the
            teacher's checkpoint is not given or of another architecture.

    Examples:
        >>> model = dict(
        ...     type='mmvlfusion.FeatureDistiller', student=..., teacher=...,
        ...     teacher_ckpt='dense.pth', initial_blocks='vit', losses=dict(
        ...         hidden=dict(type='mmvlfusion.HiddenStateLoss', features='vit'),
        ...         attention=dict(
        ...             type='mmvlfusion.AttentionScoreLoss', features='vit')))
    """

    # How an error names the model that does not fit the teacher's checkpoint.
    teacher_name = 'the config of the teacher'

    def __init__(
        self,
        student: dict,
        teacher: dict,
        teacher_ckpt: Optional[str],
        losses: Dict[str, dict],
        initial_blocks: Optional[Features] = None,
        base_weight: float = 1.0,
        feature_pass: str = 'loss',
        data_preprocessor: Optional[dict] = None,
    ) -> None:
        super().__init__()
        check_choice('feature_pass', feature_pass, FEATURE_PASSES)
        check_number('base_weight', base_weight, 0)
        if data_preprocessor is not None:
            student = {'data_preprocessor': data_preprocessor, **student}
            teacher = {'data_preprocessor': data_preprocessor, **teacher}
        # Some hosts' modules write into their config while they are built.
        self.student = HOST_MODELS.build(copy.deepcopy(student))
        self.data_preprocessor = self.student.data_preprocessor
        self.teacher_ckpt = teacher_ckpt
        self.base_weight = base_weight
        self.feature_pass = feature_pass if base_weight else 'tensor'
        self._teacher = _Teacher(self._build_teacher(copy.deepcopy(teacher)))
        self.losses = nn.ModuleDict(
            {name: MODELS.build(dict(cfg)) for name, cfg in losses.items()}
        )
        for loss in self._losses().values():
            loss.connect(self.student, self.teacher)
        self._initial: List[Tuple[str, str]] = []
        if initial_blocks is not None:
            pairs = pair_layers(initial_blocks, self.student, self.teacher)
            self._initial = list(zip(*pairs))
            self._initial_weights()

    def _build_teacher(self, cfg: dict) -> nn.Module:
        return HOST_MODELS.build(cfg)

    def _losses(self) -> Dict[str, DistillationLoss]:
        return dict(self.losses.items())  # type: ignore[arg-type]

    @property
    def teacher(self) -> nn.Module:
        """nn.Module: The teacher."""
        return self._teacher.model

    @property
    def deploy_model(self) -> nn.Module:
        """nn.Module: The model to be used after training, the student."""
        return self.student

    def _apply(self, fn: Callable, *args) -> nn.Module:
        self.teacher._apply(fn, *args)
        return super()._apply(fn, *args)

    def init_weights(self) -> None:
        """Load the teacher, and initialise the student.

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
                f'The teacher {self.teacher_ckpt} does not fit {self.teacher_name}: '
                f'{error}'
            ) from error
        self._init_student()

    def _init_student(self) -> None:
        """Initialise the student, with the weights of the teacher if set."""
        self.student.init_weights()
        if self._initial:
            weights = self._initial_weights()
            MMLogger.get_current_instance().info(
                f'{len(weights)} of {len(self.student.state_dict())} weights of the '
                'student start from the teacher.'
            )
            self.student.load_state_dict(weights, strict=False)

    def _initial_weights(self) -> Dict[str, torch.Tensor]:
        """The weights of the teacher by their names in the student."""
        sources = self.teacher.state_dict()
        weights = {}
        for name, own in self.student.state_dict().items():
            source, is_block = name, False
            for block, target in self._initial:
                if name.startswith(f'{block}.'):
                    source, is_block = target + name.removeprefix(block), True
            shape = sources[source].shape if source in sources else None
            if shape == own.shape:
                weights[name] = sources[source]
            elif is_block:
                found = 'does not exist' if shape is None else f'is {tuple(shape)}'
                raise ValueError(
                    f'initial_blocks: {name} of the student is {tuple(own.shape)}, but '
                    f'{source} of the teacher {found}: the blocks must be equal. Set '
                    'initial_blocks=None, or the same width in both.'
                )
        return weights

    def forward(self, *args, mode: str = 'tensor', **kwargs) -> Any:
        """Run the student, in training together with the teacher.

        Args:
            *args: Inputs of the student.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
            **kwargs: Further inputs of the student.

        Returns:
            Any: The output of the student. With ``mode='loss'`` its losses, of
            which one named ``loss`` is renamed to ``loss_base``, with ``loss_NAME``
            of each distillation loss.

        Raises:
            ValueError: If a distillation loss has the name of a loss of the student.
        """
        if mode != 'loss':
            return self.student(*args, mode=mode, **kwargs)
        losses: Dict[str, Any] = {}
        features: Dict[str, Any] = {}
        if self.base_weight:
            with ExitStack() as stack:
                features = self._record(stack, 'record_student', self.student)
                losses = dict(self.student(*args, mode='loss', **kwargs))
            losses = {
                'loss_base' if name == 'loss' else name: self._weighted(name, value)
                for name, value in losses.items()
            }
        reads_features = any(loss.reads_features for loss in self._losses().values())
        if self.feature_pass == 'tensor':
            with ExitStack() as stack:
                features = self._record(stack, 'record_student', self.student)
                if reads_features:
                    self.student(*args, mode='tensor', **kwargs)
        with torch.no_grad(), ExitStack() as stack:
            targets = self._record(stack, 'record_teacher', self.teacher)
            if reads_features:
                self.teacher(*args, mode='tensor', **kwargs)
        for name, loss in self._losses().items():
            if loss.has_own_pass:
                with loss.own_pass(self.student, targets[name]) as features[name]:
                    self.student(*args, mode='tensor', **kwargs)
            key = f'loss_{name}'
            if key in losses:
                raise ValueError(
                    f'The student has a loss {key!r} as well: rename {name!r} in the '
                    'losses of the distiller.'
                )
            losses[key] = loss.weight * loss(features[name], targets[name])
        return losses

    def _record(self, stack: ExitStack, method: str, model: nn.Module) -> dict:
        """Make every loss record its features of a model."""
        return {
            name: stack.enter_context(getattr(loss, method)(model))
            for name, loss in self._losses().items()
        }

    def _weighted(self, name: str, value: Any) -> Any:
        """A loss of the student with its weight; other values are not changed."""
        if self.base_weight == 1 or 'loss' not in name:
            return value
        if isinstance(value, (list, tuple)):
            return [self.base_weight * part for part in value]
        return self.base_weight * value
