"""Metrics of answers, of which an image may have several."""

import os.path as osp
from collections import defaultdict
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import mmengine
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import print_log

from mmvlfusion.registry import METRICS
from mmvlfusion.utils.checks import check_choice

from .functional.vqa import NUM_ANNOTATORS, agreement, one_line, same_answer


class QuestionMetric(BaseMetric):
    """A metric with one result for each question.

    mmengine cuts the results to the length of the data set, which is the number
    of images.
    """

    def evaluate(self, size: int) -> Dict[str, float]:
        """Collect the results of all ranks and evaluate them.

        Args:
            size (int): Not used.

        Returns:
            dict[str, float]: The scores by name.
        """
        return super().evaluate(sum(all_gather_object(len(self.results))))


def question_key(sample: dict) -> tuple:
    """Get what identifies a question.

    Concatenated data sets may use the same question ids.

    Args:
        sample (dict): The sample of a question.

    Returns:
        tuple: Image, id and text of the question.
    """
    return tuple(sample.get(name) for name in ('img_path', 'question_id', 'question'))


def unique_questions(results: Iterable[Tuple[tuple, Any]]) -> List[Any]:
    """Drop the results of repeated questions.

    A sampler repeats images so that all ranks have the same number.

    Args:
        results (Iterable[tuple[tuple, Any]]): The ``question_key`` and the
            result of each question. Results whose key has no entry are kept.

    Returns:
        list: One result for each question, in the given order.
    """
    unique: Dict[Any, Any] = {}
    for number, (key, result) in enumerate(results):
        identified = any(entry is not None for entry in key)
        unique.setdefault(key if identified else number, result)
    return list(unique.values())


class QuestionScore(QuestionMetric):
    """The mean score of the questions.

    Args:
        by (Sequence[str]): Fields of the data samples, such as
            ``'question_type'``; a score is reported for each of their values
            as well. Samples without a field only count in the total. Defaults
            to none.
        collect_device (str): See ``mmengine.evaluator.BaseMetric``.
        prefix (str, optional): Prefix of the names of the scores.
    """

    def __init__(
        self,
        by: Sequence[str] = (),
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.by = by

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the results of a batch of questions.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): The samples with ``pred_answer`` and
                ``gt_answer``.

        Raises:
            ValueError: If a question has no answer to compare with.
        """
        for sample in data_samples:
            answers = sample.get('gt_answer')
            if not answers:
                raise ValueError(
                    f'Question {sample.get("question_id", "")} '
                    f'{sample.get("question")!r} has no answer to compare '
                    'with: give the annotations to the data set, or write the '
                    'answers for an evaluation server by DumpAnswers.'
                )
            self.results.append(
                dict(
                    key=question_key(sample),
                    groups=[
                        str(sample.get(name))
                        for name in self.by
                        if sample.get(name) is not None
                    ],
                    pred_answer=sample['pred_answer'],
                    gt_answer=answers,
                    gt_answer_weight=sample.get('gt_answer_weight'),
                    num_annotators=sample.get('num_annotators'),
                )
            )

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute the total score and those of the groups.

        Args:
            results (list[dict]): The results of all ranks.

        Returns:
            dict[str, float]: The scores by name, in percent.
        """
        results = unique_questions((result['key'], result) for result in results)
        groups = defaultdict(list)
        for result in results:
            for name in ('acc', *(f'acc_{g}' for g in result['groups'])):
                groups[name].append(self.score(result))
        return {
            name: 100 * sum(scores) / len(scores) for name, scores in groups.items()
        }

    def score(self, result: dict) -> float:
        """Compute the score of an answer.

        Args:
            result (dict): A result that ``process`` stored.

        Returns:
            float: The score, 0 to 1.
        """
        raise NotImplementedError


@METRICS.register_module()
class VQAScore(QuestionScore):
    """The official score of VQA v2.

    An answer is compared with the answers of all annotators but one, in turn,
    after the official normalisation, which is skipped if all annotators agree
    (`<https://github.com/GT-Vision-Lab/VQA>`_). With one annotator the score is
    1 for an answer that is equal after the normalisation. See ``agreement`` and
    ``same_answer``.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to
            ``('answer_type', )``, as in the official evaluation.
        num_annotators (int, optional): Number of annotators of a question, for
            data sets whose samples have no ``num_annotators`` or repeat one
            person's answer. Defaults to None, which means the number in the
            sample, otherwise one if ``gt_answer`` is a string and ten if it is
            a list.
        **kwargs: ``collect_device`` and ``prefix``.

    Raises:
        ValueError: If ``num_annotators`` is below 1.
    """

    default_prefix = 'VQA'

    def __init__(
        self,
        by: Sequence[str] = ('answer_type',),
        num_annotators: Optional[int] = None,
        **kwargs,
    ) -> None:
        super().__init__(by=by, **kwargs)
        if num_annotators is not None and num_annotators < 1:
            raise ValueError(f'num_annotators={num_annotators} must be at least 1.')
        self.num_annotators = num_annotators

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        answers, weights = result['gt_answer'], result['gt_answer_weight']
        number = self.num_annotators or result['num_annotators']
        if isinstance(answers, str):
            answers = [answers]
            number = number or 1
        number = number or NUM_ANNOTATORS
        if weights is None:
            weights = [1 / len(answers)] * len(answers)
        normalized = number == 1 or len(set(map(one_line, answers))) > 1
        share = sum(
            weight
            for answer, weight in zip(answers, weights)
            if same_answer(result['pred_answer'], answer, normalized)
        )
        return agreement(share, number)


@METRICS.register_module()
class ExactMatchAccuracy(QuestionScore):
    """The share of answers that equal the ground truth, in percent.

    For GQA, and for SNLI-VE with ``prefix='SNLI-VE'``. Answers are compared
    after the normalisation of VQA v2, see ``same_answer``. The official script
    of GQA compares the strings without any normalisation, so that "two", "Dog."
    or "the dog" do not count for "2" or "dog"; its score is never higher.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to none.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    default_prefix = 'GQA'

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        return float(same_answer(result['pred_answer'], result['gt_answer']))


@METRICS.register_module()
class DumpAnswers(QuestionMetric):
    """Write the answers in the format of an evaluation server.

    Args:
        out_file (str): The json file.
        form (str): ``'vqa'``, ``[{"question_id": 1, "answer": "red"}]``, or
            ``'gqa'``, ``[{"questionId": "1", "prediction": "red"}]``. Defaults
            to ``'vqa'``.
        collect_device (str): See ``mmengine.evaluator.BaseMetric``.
        prefix (str, optional): Not used; there is no score.

    Raises:
        ValueError: If the file's name does not end in .json, or the form is
            not one of the two.
    """

    KEYS = dict(vqa=('question_id', 'answer'), gqa=('questionId', 'prediction'))

    def __init__(
        self,
        out_file: str,
        form: str = 'vqa',
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not out_file.endswith('.json'):
            raise ValueError(f'out_file={out_file!r} must end in .json.')
        check_choice('form', form, tuple(self.KEYS))
        self.out_file = out_file
        self.form = form
        # The question of each id in the current evaluation, to raise early.
        self.questions: Dict[Any, tuple] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the answers of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): The samples with ``pred_answer``.

        Raises:
            ValueError: If a question has no id, or two questions have the same
                id.
        """
        if not self.results:
            self.questions.clear()
        for sample in data_samples:
            if sample.get('question_id') is None:
                raise ValueError(
                    f'The question {sample.get("question")!r} has no '
                    'question_id, which the evaluation server needs: use '
                    "mmvlfusion's data sets and PackQuestions."
                )
            number, question = sample['question_id'], question_key(sample)
            if self.form == 'gqa':
                number = str(number)
            _add_question(self.questions, number, question)
            self.results.append((number, question, sample['pred_answer']))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Write the file.

        Args:
            results (list[tuple]): Id, ``question_key`` and answer of each
                question, from all ranks.

        Returns:
            dict[str, float]: Empty; there is no score.

        Raises:
            ValueError: If two questions have the same id.
        """
        questions: Dict[Any, tuple] = {}
        for number, question, _ in results:
            _add_question(questions, number, question)
        keys = self.KEYS[self.form]
        by_id = {number: answer for number, _, answer in results}
        answers = [dict(zip(keys, item)) for item in by_id.items()]
        mmengine.mkdir_or_exist(osp.dirname(osp.abspath(self.out_file)))
        mmengine.dump(answers, self.out_file)
        print_log(f'Answers written to {self.out_file}.', logger='current')
        return {}


def _add_question(questions: Dict[Any, tuple], number: Any, key: tuple) -> None:
    """Add a question to those by id; raises if the id has another question."""
    if questions.setdefault(number, key) != key:
        raise ValueError(
            f'The question_id {number} belongs to two questions, '
            f'{questions[number]} and {key} (image, id and text), but the file has '
            'one answer per id: write the answers of each data set into its own '
            'file.'
        )


@METRICS.register_module()
class DumpSamples(QuestionMetric, DumpResults):
    """Write the data samples of all questions, each one once, to a .pkl file.

    Args:
        **kwargs: See ``mmengine.evaluator.DumpResults``.
    """

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Write the file.

        Args:
            results (list[dict]): The samples of all ranks.

        Returns:
            dict[str, float]: Empty; there is no score.
        """
        return super().compute_metrics(
            unique_questions((question_key(sample), sample) for sample in results)
        )
