"""Reading and writing of the texts of samples."""

from typing import Any, Iterable, List, Tuple


def weighted_texts(sample: Any, field: str) -> List[Tuple[str, float]]:
    """Get the ground-truth texts of a sample with their weights.

    Args:
        sample (DataSample): The sample, with ``gt_{field}``, a text or distinct
            texts, such as the answers to a question. The optional
            ``gt_{field}_weight`` holds the share of annotators who gave each
            text; it defaults to equal weights.
        field (str): Name of the field.

    Returns:
        list[tuple[str, float]]: The texts and their weights.

    Raises:
        ValueError: If there are no texts.
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
    return [(text, float(weight)) for text, weight in zip(texts, weights)]


def store_texts(
    samples: List[Any], field: str, texts: Iterable[str], scores: Iterable[float]
) -> List[Any]:
    """Store predicted texts as ``pred_{field}`` and their scores as
    ``pred_score``.

    Args:
        samples (list[DataSample]): The samples, which are modified.
        field (str): Name of the field.
        texts (Iterable[str]): One text per sample.
        scores (Iterable[float]): One score per sample.

    Returns:
        list[DataSample]: The samples.
    """
    for sample, text, score in zip(samples, texts, scores):
        sample.set_field(text, f'pred_{field}')
        sample.set_field(score, 'pred_score')
    return samples
