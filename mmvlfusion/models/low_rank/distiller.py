"""PELA's intermediate pre-training: a low-rank student is trained with its
dense teacher (arXiv 2310.10700, Section 3)."""

from typing import Dict, Optional

import torch.nn as nn

from mmvlfusion.registry import MODELS

from ..distillation import FeatureDistiller
from ..distillation.features import Features
from .compression import merge_
from .perturbation import trained_low_rank_layers


@MODELS.register_module()
class PELADistiller(FeatureDistiller):
    """Train a low-rank model with its own loss, feature distillation and
    regularised weight perturbation.

    It is the ``FeatureDistiller`` with the losses ``FeatureLoss`` (``fd``) and
    ``WeightPerturbationLoss`` (``rwp``), whose teacher is the dense student.

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

    teacher_name = 'the student without its low-rank layers'

    def __init__(
        self,
        student: dict,
        teacher_ckpt: Optional[str],
        features: Features,
        feature_weight: float = 1.0,
        perturbation_weight: float = 1.0,
        radius: float = 1e-3,
        form: str = 'paper',
        feature_pass: str = 'loss',
        teacher: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
    ) -> None:
        losses: Dict[str, dict] = {}
        if feature_weight:
            losses['fd'] = dict(
                type='mmvlfusion.FeatureLoss',
                features=features,
                form=form,
                weight=feature_weight,
            )
        if perturbation_weight:
            losses['rwp'] = dict(
                type='mmvlfusion.WeightPerturbationLoss',
                radius=radius,
                form=form,
                weight=perturbation_weight,
            )
        super().__init__(
            student,
            student if teacher is None else teacher,
            teacher_ckpt,
            losses,
            feature_pass=feature_pass,
            data_preprocessor=data_preprocessor,
        )
        trained_low_rank_layers(self.student, self.teacher)

    def _build_teacher(self, cfg: dict) -> nn.Module:
        dense = super()._build_teacher(cfg)
        merge_(dense)
        return dense

    def _init_student(self) -> None:
        """Factorise the teacher."""
        self.student.load_state_dict(self.teacher.state_dict())
