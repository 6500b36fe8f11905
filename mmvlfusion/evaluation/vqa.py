"""Scores of answers, of which an image may have several."""
import os.path as osp
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence

import mmengine
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import print_log
from mmpretrain.evaluation import GQAAcc as HostGQAAcc
from mmpretrain.evaluation import VQAAcc as HostVQAAcc

from mmvlfusion.registry import METRICS
from mmvlfusion.utils.answers import agreement
from mmvlfusion.utils.choices import check_choice


class QuestionMetric(BaseMetric):
    """A metric with a result for each question, where the data set's length is
    the number of images, to which mmengine would cut the results."""

    def evaluate(self, size: int) -> Dict[str, float]:
        """Collect the results of all ranks, and evaluate them."""
        return super().evaluate(sum(all_gather_object(len(self.results))))


class QuestionScore(QuestionMetric):
    """The mean score of the questions.

    Args:
        by (Sequence[str]): Fields of the data samples, such as
            ``'question_type'``, for each of whose values a score is reported
            as well; samples without one count in the whole alone. Defaults to
            none.
        **kwargs: Arguments of the host's metric.
    """

    def __init__(self, by: Sequence[str] = (), **kwargs) -> None:
        super().__init__(**kwargs)
        self.by = by

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store what is needed of a batch of answered questions.

        Raises:
            ValueError: If a question has no answer to compare with.
        """
        for sample in data_samples:
            if not sample.get('gt_answer'):
                raise ValueError(
                    f'Question {sample.get("question_id", "")} '
                    f'{sample.get("question")!r} has no answer to be scored '
                    'by: give the data set its annotations, or write the '
                    'answers for an evaluation server by AnswerDump.')
        done = len(self.results)
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[done:], data_samples):
            # Data sets that are joined may number their questions alike.
            result['id'] = tuple(
                sample.get(name)
                for name in ('img_path', 'question_id', 'question'))
            result['groups'] = [
                f'{sample.get(name)}' for name in self.by
                if sample.get(name) is not None
            ]

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The score in percent, and those of the groups."""
        # A sampler repeats images to give all ranks as many.
        results = list({result['id']: result for result in results}.values())
        groups = defaultdict(list)
        for result in results:
            for name in ('acc', *(f'acc_{g}' for g in result['groups'])):
                groups[name].append(self.score(result))
        return {
            name: 100 * sum(scores) / len(scores)
            for name, scores in groups.items()
        }

    def score(self, result: dict) -> float:
        """The score of an answer, from 0 to 1."""
        raise NotImplementedError


@METRICS.register_module()
class VQAScore(QuestionScore, HostVQAAcc):
    """The official score of VQA v2: answers are compared with each nine of the
    ten annotators', after the official normalisation, which is left out where
    all ten agree (`<https://github.com/GT-Vision-Lab/VQA>`_).

    Where a data set has one answer to a question, it counts as that of all.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to
            ``('answer_type', )``, as the official evaluation reports.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    def __init__(self,
                 by: Sequence[str] = ('answer_type', ),
                 **kwargs) -> None:
        super().__init__(by=by, **kwargs)

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        answers = [_one_line(answer) for answer in result['gt_answer']]
        predicted = _one_line(result['pred_answer'])
        if len(set(answers)) > 1:
            answers = [self._process_answer(answer) for answer in answers]
            predicted = self._process_answer(predicted)
        return agreement(
            sum(weight
                for answer, weight in zip(answers, result['gt_answer_weight'])
                if answer == predicted))


def _one_line(answer: str) -> str:
    return answer.replace('\n', ' ').replace('\t', ' ').strip()


@METRICS.register_module()
class GQAAcc(QuestionScore, HostGQAAcc):
    """The share of answers that are right in every word, in percent; for GQA,
    and for SNLI-VE with ``prefix='SNLI-VE'``.

    Args:
        by (Sequence[str]): See ``QuestionScore``. Defaults to none.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    def score(self, result: dict) -> float:
        """See ``QuestionScore``."""
        return float(
            self._process_answer(result['pred_answer']) ==
            self._process_answer(result['gt_answer']))


@METRICS.register_module()
class AnswerDump(QuestionMetric):
    """Write the answers in the format of an evaluation server.

    Args:
        out_file (str): The json file.
        form (str): ``'vqa'``, ``[{"question_id": 1, "answer": "red"}]``, or
            ``'gqa'``, ``[{"questionId": "1", "prediction": "red"}]``. Defaults
            to ``'vqa'``.
        collect_device (str): Defaults to ``'cpu'``.

    Raises:
        ValueError: If the file's name does not end in .json, or the form is
            neither of the two.
    """

    KEYS = dict(
        vqa=('question_id', 'answer'), gqa=('questionId', 'prediction'))

    def __init__(self,
                 out_file: str,
                 form: str = 'vqa',
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not out_file.endswith('.json'):
            raise ValueError(f'out_file={out_file!r} must end in .json.')
        check_choice('form', form, tuple(self.KEYS))
        self.out_file = out_file
        self.form = form

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store a batch of answered questions.

        Raises:
            ValueError: If a question has no number.
        """
        for sample in data_samples:
            if sample.get('question_id') is None:
                raise ValueError(
                    f'The question {sample.get("question")!r} has no '
                    'question_id, which the evaluation server asks for: use '
                    "mmvlfusion's data sets and PackQuestions.")
            self.results.append(
                (sample['question_id'], sample['pred_answer']))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Write the file; there is no score."""
        keys = self.KEYS[self.form]
        answers = [dict(zip(keys, item)) for item in dict(results).items()]
        if self.form == 'gqa':
            for answer in answers:
                answer['questionId'] = str(answer['questionId'])
        mmengine.mkdir_or_exist(osp.dirname(osp.abspath(self.out_file)))
        mmengine.dump(answers, self.out_file)
        print_log(f'The answers are in {self.out_file}.', logger='current')
        return {}


@METRICS.register_module()
class DumpQuestions(QuestionMetric, DumpResults):
    """Write the data samples of all questions to a .pkl file."""
