"""Base class of data sets of questions: grouping of questions by image."""

import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Set

import mmengine
import mmengine.fileio as fileio
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmvlfusion.datasets.utils.files import (
    ID,
    join_name,
    raise_if_missing,
    require_entries,
    require_fields,
)


class QuestionDataset(BaseDataset):
    """Questions about images; a sample is an image with its questions.

    A sample has ``img_path`` and ``questions``, a list of dicts with
    ``question``, ``question_id`` and these fields if the format has them:

    - ``gt_answer``: a string, or a list of the different answers.
    - ``gt_answer_weight``: the share of each answer in that list.
    - ``num_annotators``: how many persons answered.
    - ``answer_type`` and ``question_type``.

    The transform ``PackQuestions`` converts them to mmpretrain's data samples.
    Images are in the order of their first questions.

    Args:
        ann_file (str): The annotation file.
        data_prefix (str): Folder of the images.
        group (bool): Whether all questions of an image form one sample, so
            that the image is decoded, augmented and encoded once. If False, a
            sample is one question with its fields at the top level, as in
            mmpretrain's data sets. Defaults to True.
        max_questions (int, optional): Maximum number of questions in a sample.
            An image with more questions gives several samples. Defaults to
            None, which means no limit.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images are missing, with their number and the
            first of their paths.
        ValueError: If ``max_questions`` is below 1, a question lacks a field, has
            a field of another type or is empty, or a question id occurs twice.
    """

    # How the format names its images, for the error about missing files.
    IMAGE_HINT = ''

    def __init__(
        self,
        ann_file: str,
        data_prefix: str = '',
        group: bool = True,
        max_questions: Optional[int] = None,
        **kwargs,
    ) -> None:
        if max_questions is not None and max_questions < 1:
            raise ValueError(f'max_questions={max_questions} must be at least 1.')
        self.group = group
        self.max_questions = max_questions
        super().__init__(
            ann_file=ann_file, data_prefix=dict(img_path=data_prefix), **kwargs
        )

    @property
    def source(self) -> str:
        """str: The file of the questions."""
        return self.ann_file

    def load_questions(self, files: List[str]) -> List[Dict[str, Any]]:
        """Read the questions.

        Args:
            files (list[str]): All files below the folder of the images.

        Returns:
            list[dict]: The questions. Each has the field ``image``, the file
            name of its image relative to that folder.
        """
        raise NotImplementedError

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        folder = self.data_prefix['img_path']
        files = _list_files(folder)
        questions = self.load_questions(files)
        require_entries(questions, self.source)
        self._check(questions)
        known = set(files)
        paths = {}
        missing = []
        for name in dict.fromkeys(question['image'] for question in questions):
            paths[name] = _find_file(folder, name, known)
            if paths[name] is None:
                missing.append(join_name(folder, name))
        raise_if_missing(missing, len(paths), self.source, self.IMAGE_HINT)
        for question in questions:
            question['img_path'] = paths[question.pop('image')]
        if not self.group:
            return questions
        groups: Dict[str, List[dict]] = {}
        for question in questions:
            groups.setdefault(question['img_path'], []).append(question)
        size = self.max_questions or len(questions)
        return [
            dict(img_path=path, questions=group[start : start + size])
            for path, group in groups.items()
            for start in range(0, len(group), size)
        ]

    def _check(self, questions: List[Dict[str, Any]]) -> None:
        """Check types, and for duplicate question ids and empty questions."""
        seen = set()
        for question in questions:
            require_fields(question, self.source, question=str, question_id=ID)
            question_id = question['question_id']
            if question_id in seen:
                raise ValueError(
                    f'Question {question_id} occurs twice in {self.source}: '
                    'remove one of the two.'
                )
            seen.add(question_id)
            if not question['question'].strip():
                raise ValueError(
                    f'Question {question_id} in {self.source} is empty: fix or '
                    'remove this entry.'
                )


def _list_files(folder: str) -> List[str]:
    """List all files below a folder, relative to it."""
    if not fileio.isdir(folder):
        raise FileNotFoundError(
            f'The folder of the images {folder!r} does not exist: correct data_root '
            'and data_prefix.'
        )
    return list(mmengine.list_dir_or_file(folder, list_dir=False, recursive=True))


def _find_file(folder: str, name: str, known: Set[str]) -> Optional[str]:
    """Find a file by its name in an annotation file.

    Args:
        folder (str): The folder of the images.
        name (str): The name, relative to the folder or absolute.
        known (set[str]): All files below the folder, relative to it.

    Returns:
        str | None: The only path of this file, or None if it does not exist.
    """
    if name in known:
        return mmengine.join_path(folder, name)
    path = join_name(folder, name)
    inside = osp.relpath(path, folder)
    if inside in known:
        return mmengine.join_path(folder, inside)
    # A file in another folder, or behind a symbolic link.
    original = mmengine.join_path(folder, name)
    is_file = fileio.get_file_backend(folder).isfile
    return next((p for p in (path, original) if is_file(p)), None)


def read_entries(dataset: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """Iterate over the annotations of a data set, without loading images.

    Args:
        dataset (dict): Config of a data set, or of a wrapper with the key
            ``dataset`` or ``datasets``, such as ``ConcatDataset`` and
            ``RepeatDataset``. Entries are not repeated.

    Yields:
        dict: A question if the data set groups questions by image, otherwise a
        sample.
    """
    if 'datasets' in dataset or 'dataset' in dataset:
        for part in dataset.get('datasets') or [dataset['dataset']]:
            yield from read_entries(part)
        return
    built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=False))
    for index in range(len(built)):
        sample = built.get_data_info(index)
        yield from sample.get('questions', [sample])


def read_questions(dataset: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """Iterate over the questions of a data set, without loading images.

    Args:
        dataset (dict): Config of a data set, or of a wrapper; see
            ``read_entries``.

    Yields:
        dict: A question.

    Raises:
        ValueError: If the data set has samples without a question.
    """
    for entry in read_entries(dataset):
        if 'question' not in entry:
            raise ValueError(
                f'The data set {dataset["type"]} has no questions: an entry has '
                f'the fields {sorted(entry)}.'
            )
        yield entry
