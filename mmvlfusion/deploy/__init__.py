from .exporting import ExportReport, export_model, load_export
from .generation import generate_greedily
from .graphs import pad_texts, split_model
from .runtimes import FORMATS, get_format, size_in_mib
from .tracing import trace

__all__ = [
    'ExportReport',
    'FORMATS',
    'export_model',
    'generate_greedily',
    'get_format',
    'load_export',
    'pad_texts',
    'size_in_mib',
    'split_model',
    'trace',
]
