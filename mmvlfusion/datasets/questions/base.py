"""What all data sets of questions share: the grouping by image."""

from typing import Any, Dict, Iterator, List, Optional

import mmengine
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmvlfusion.datasets.utils.files import raise_if_missing


class QuestionDataset(BaseDataset):
    """Questions about images; a sample is an image with its questions.

    A sample holds ``img_path`` and ``questions``, a list of dicts with
    ``question``, ``question_id`` and what else the format has: ``gt_answer``
    (a string, or a list of the different answers with their shares in
    ``gt_answer_weight``), ``answer_type``, ``question_type``. The transform
    ``PackQuestions`` makes mmpretrain's data samples of them. The order is that
    of the images' first questions.

    Args:
        ann_file (str): File of the annotations.
        data_prefix (str): Folder of the images.
        group (bool): Whether the questions of an image form one sample, so
            that the image is decoded, augmented and encoded once. Otherwise a
            sample is one question with its fields at the top, as in
            mmpretrain's data sets. Defaults to True.
        max_questions (int, optional): The most questions of a sample; an image
            with more gives several samples. Defaults to None, no limit.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If images have no file; all of them are counted, and
            the first are named.
        ValueError: If a question lacks a field, is empty, or its number stands
            twice.
    """

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
        """Read the questions, each with its ``image``, the name of its file
        among those below the folder of the images."""
        raise NotImplementedError

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See the class."""
        folder = self.data_prefix['img_path']
        files = list(mmengine.list_dir_or_file(folder, list_dir=False, recursive=True))
        questions = self.load_questions(files)
        self._check(questions)
        paths = {
            question['image']: mmengine.join_path(folder, question['image'])
            for question in questions
        }
        known = set(files)
        raise_if_missing(
            [path for name, path in paths.items() if name not in known],
            len(paths),
            self.source,
        )
        for question in questions:
            question['img_path'] = paths[question.pop('image')]
        if not self.group:
            return questions
        groups: Dict[str, List[dict]] = {}
        for question in questions:
            groups.setdefault(question['img_path'], []).append(question)
        size = self.max_questions or len(questions)
        return [
            dict(img_path=path, questions=asked[i : i + size])
            for path, asked in groups.items()
            for i in range(0, len(asked), size)
        ]

    def _check(self, questions: List[Dict[str, Any]]) -> None:
        seen = set()
        for question in questions:
            number = question['question_id']
            if number in seen:
                raise ValueError(f'Question {number} stands twice in {self.source}.')
            seen.add(number)
            if not question['question'].strip():
                raise ValueError(
                    f'Question {number} in {self.source} is empty: leave it out.'
                )


def read_entries(dataset: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """The entries of a data set's config without its images: the questions of
    one that groups them, else its samples; of several data sets, those of each.
    """
    if dataset['type'] == 'ConcatDataset':
        for part in dataset['datasets']:
            yield from read_entries(part)
        return
    built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=False))
    for index in range(len(built)):
        sample = built.get_data_info(index)
        yield from sample.get('questions', [sample])


def read_questions(dataset: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """The questions of a data set's config, without its images.

    Raises:
        ValueError: If the data set asks none.
    """
    for entry in read_entries(dataset):
        if 'question' not in entry:
            raise ValueError(f'The data set {dataset["type"]} asks no questions.')
        yield entry
