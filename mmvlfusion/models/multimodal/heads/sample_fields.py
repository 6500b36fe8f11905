"""The texts that a sample holds, for training and after it."""

from typing import Any, Iterable, List, Tuple


def weighted_texts(sample: Any, field: str) -> List[Tuple[str, float]]:
    """The different texts ``gt_{field}`` of a ``DataSample``, such as the
    answers of a question, with the shares of people who gave them; those of
    equal share where none are stored.

    Raises:
        ValueError: If there is none.
    """
    texts = sample.get(f'gt_{field}')
    if not texts:
        name = sample.get('question') or sample.get('img_path') or ''
        raise ValueError(
            f'The sample {sample.get("question_id", "")} {name!r} has no '
            f"{field} to train on: let the pipeline's last step pack "
            f'gt_{field}.'
        )
    if isinstance(texts, str):
        texts = [texts]
    weights = sample.get(f'gt_{field}_weight')
    if weights is None:
        weights = [1 / len(texts)] * len(texts)
    return list(zip(texts, map(float, weights)))


def store_texts(
    samples: List[Any], field: str, texts: Iterable[str], scores: Iterable[float]
) -> List[Any]:
    """Give each sample its ``pred_{field}`` and ``pred_score``."""
    for sample, text, score in zip(samples, texts, scores):
        sample.set_field(text, f'pred_{field}')
        sample.set_field(score, 'pred_score')
    return samples
