from .caption import CaptionMetric

__all__ = ['CaptionMetric']

try:
    from .vqa import AnswerDump, DumpQuestions, GQAAcc, VQAScore  # noqa: F401
except ModuleNotFoundError as error:
    # Users of mmdet or mmseg alone ask no questions.
    if error.name != 'mmpretrain':
        raise
else:
    __all__ += ['AnswerDump', 'DumpQuestions', 'GQAAcc', 'VQAScore']
