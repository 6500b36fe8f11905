"""Metrics of answers, of which an image may have several."""

import os.path as osp
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence

import mmengine
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import print_log

from mmvlfusion.registry import METRICS
from mmvlfusion.utils.checks import check_choice

from .functional.vqa import agreement, normalize


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
                    # Concatenated data sets may use the same question ids.
                    id=tuple(
                        sample.get(name)
                        for name in ('img_path', 'question_id', 'question')
                    ),
                    groups=[
                        str(sample.get(name))
                        for name in self.by
                        if sample.get(name) is not None
                    ],
                    pred_answer=sample['pred_answer'],
                    gt_answer=answers,
                    gt_answer_weight=sample.get('gt_answer_weight'),
                )
            )

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute the total score and those of the groups.

        Args:
            results (list[dict]): The results of all ranks.

        Returns:
            dict[str, float]: The scores by name, in percent.
        """
        # A sampler repeats images so that all ranks have the same number.
        results = list({result['id']: result for result in results}.values())
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

    Answers are compared with each nine of the ten annotators', after the
    official normalisation, which is skipped if all ten agree
    (`<https://github.com/GT-Vision-Lab/VQA>`_). If a data set has one answer
    per question, it counts as the answer of all annotators.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to
            ``('answer_type', )``, as in the official evaluation.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    default_prefix = 'VQA'

    def __init__(self, by: Sequence[str] = ('answer_type',), **kwargs) -> None:
        super().__init__(by=by, **kwargs)

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        answers, weights = result['gt_answer'], result['gt_answer_weight']
        if isinstance(answers, str):
            answers = [answers]
        if weights is None:
            weights = [1 / len(answers)] * len(answers)
        answers = [_one_line(answer) for answer in answers]
        predicted = _one_line(result['pred_answer'])
        if len(set(answers)) > 1:
            answers = [normalize(answer) for answer in answers]
            predicted = normalize(predicted)
        return agreement(
            sum(
                weight
                for answer, weight in zip(answers, weights)
                if answer == predicted
            )
        )


def _one_line(answer: str) -> str:
    return answer.replace('\n', ' ').replace('\t', ' ').strip()


@METRICS.register_module()
class ExactMatchAccuracy(QuestionScore):
    """The share of answers that equal the ground truth, in percent.

    Answers are compared after the normalisation of VQA v2. For GQA, and for
    SNLI-VE with ``prefix='SNLI-VE'``.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to none.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    default_prefix = 'GQA'

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        return float(normalize(result['pred_answer']) == normalize(result['gt_answer']))


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

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the answers of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): The samples with ``pred_answer``.

        Raises:
            ValueError: If a question has no id.
        """
        for sample in data_samples:
            if sample.get('question_id') is None:
                raise ValueError(
                    f'The question {sample.get("question")!r} has no '
                    'question_id, which the evaluation server needs: use '
                    "mmvlfusion's data sets and PackQuestions."
                )
            self.results.append((sample['question_id'], sample['pred_answer']))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Write the file.

        Args:
            results (list[tuple]): Question ids and answers of all ranks.

        Returns:
            dict[str, float]: Empty; there is no score.
        """
        keys = self.KEYS[self.form]
        answers = [dict(zip(keys, item)) for item in dict(results).items()]
        if self.form == 'gqa':
            for answer in answers:
                answer['questionId'] = str(answer['questionId'])
        mmengine.mkdir_or_exist(osp.dirname(osp.abspath(self.out_file)))
        mmengine.dump(answers, self.out_file)
        print_log(f'Answers written to {self.out_file}.', logger='current')
        return {}


@METRICS.register_module()
class DumpSamples(QuestionMetric, DumpResults):
    """Write the data samples of all questions to a .pkl file.

    Args:
        **kwargs: See ``mmengine.evaluator.DumpResults``.
    """
