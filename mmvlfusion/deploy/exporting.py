"""Export of a model: trace, write, run, compare, and only then keep the files."""

import json
import os
import os.path as osp
import tempfile
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmvlfusion.hosts import Host
from mmvlfusion.utils.checks import check_number

from .graphs import Graph, Tensors, split_model
from .runtimes import Session, get_format, size_in_mib
from .tracing import check_torch, trace
from .verification import Case, differences, make_cases

MANIFEST = 'export.json'
# Largest difference of float32 graphs, relative to the largest value.
TOLERANCE = 1e-3
# Root mean square difference of int8 graphs, relative to that of the values.
INT8_TOLERANCE = 0.5


class ExportReport(NamedTuple):
    """Result of the export of one graph.

    Attributes:
        path (str): The file.
        mib (float): Its size in MiB.
        difference (float): Largest difference of an output from PyTorch.
        cases (tuple[str, ...]): The sizes for which it was compared.
    """

    path: str
    mib: float
    difference: float
    cases: Tuple[str, ...]


def export_model(
    model: nn.Module,
    host: Host,
    out: str,
    shape: Sequence[int],
    format: str = 'onnx',
    dynamic: str = 'none',
    batch_size: int = 1,
    channels: int = 3,
    calibration: Optional[Iterable[dict]] = None,
    int8: bool = False,
    tolerance: Optional[float] = None,
    details: Optional[Dict[str, Any]] = None,
) -> List[ExportReport]:
    """Export a model, and compare what its runtime computes with PyTorch.

    Nothing is written to ``out`` before all graphs have been compared.

    Args:
        model (nn.Module): A classifier, segmentor, or model for questions or
            captions.
        host (Host): Its host.
        out (str): The folder to write. It gets one file for each graph, and
            ``export.json``, which describes them.
        shape (Sequence[int]): Height and width of the images in pixels; with dynamic
            sizes one of those for which the graphs are compared.
        format (str): ``'onnx'``, ``'torch'`` or ``'openvino'``. Defaults to
            ``'onnx'``.
        dynamic (str): What is not fixed: ``'none'``, ``'batch'``, or ``'size'``:
            batch, sizes of images and lengths of texts. Defaults to ``'none'``.
        batch_size (int): Batch size, if fixed. Defaults to 1.
        channels (int): Channels of the images. Defaults to 3.
        calibration (Iterable[dict], optional): Batches of a data loader. Defaults to
            None.
        int8 (bool): Whether to quantise the graphs. Defaults to False.
        tolerance (float, optional): Largest difference that is accepted. Defaults to
            ``TOLERANCE``, with ``int8`` to ``INT8_TOLERANCE``.
        details (dict, optional): Further content of ``export.json``. Defaults to
            None.

    Returns:
        list[ExportReport]: One report for each graph.

    Raises:
        ImportError: If a library or a release of PyTorch with ``torch.export`` is
            missing.
        ValueError: If the model cannot be exported or traced, calibration data is
            missing, or outputs differ.
    """
    check_torch()
    writer = get_format(format, int8)
    check_number('batch_size', batch_size, 1, integer=True)
    if tolerance is None:
        tolerance = INT8_TOLERANCE if int8 else TOLERANCE
    check_number('tolerance', tolerance, 0, above=True)
    parts = split_model(model.eval(), host)
    size = (shape[0], shape[1])
    samples: List[List[Tensors]] = []
    if int8:
        batch = None if dynamic != 'none' else batch_size
        samples = _calibration_inputs(parts, calibration, size, batch)
    max_text_length = getattr(model, 'max_text_length', 1)
    cases = make_cases(dynamic, batch_size, size, max_text_length)
    inputs = _case_inputs(parts, cases, channels)
    parent = osp.dirname(osp.realpath(out)) or '.'
    os.makedirs(parent, exist_ok=True)
    reports = []
    with tempfile.TemporaryDirectory(dir=parent, prefix='.export-') as folder:
        for i, graph in enumerate(parts.graphs):
            path = osp.join(folder, graph.name + writer.suffix)
            given = [tensors[i] for tensors in inputs.values()]
            writer.write(trace(graph, given[0], dynamic), graph, dynamic, path)
            limit = TOLERANCE if int8 else tolerance
            difference = _verify(graph, writer.load(path), given, False, limit)
            if int8:
                chosen = [tensors[i] for tensors in samples]
                quantized = osp.join(folder, f'{graph.name}_int8{writer.suffix}')
                writer.quantize(path, graph, chosen, quantized)
                _remove(path)
                path = quantized
                difference = _verify(graph, writer.load(path), chosen, True, tolerance)
            reports.append(
                ExportReport(
                    path, size_in_mib(path), difference, tuple(map(str, inputs))
                )
            )
        manifest = dict(
            details or {},
            format=format,
            dynamic=dynamic,
            int8=int8,
            batch_size=batch_size,
            shape=list(size),
            graphs=[
                dict(
                    name=graph.name,
                    file=osp.basename(report.path),
                    inputs=list(graph.inputs),
                    outputs=list(graph.outputs),
                )
                for graph, report in zip(parts.graphs, reports)
            ],
        )
        with open(osp.join(folder, MANIFEST), 'w') as file:
            json.dump(manifest, file, indent=2)
        os.makedirs(out, exist_ok=True)
        for name in os.listdir(folder):
            os.replace(osp.join(folder, name), osp.join(out, name))
    return [
        report._replace(path=osp.join(out, osp.basename(report.path)))
        for report in reports
    ]


def load_export(folder: str, threads: int = 0) -> Dict[str, Session]:
    """Load the graphs of an exported model.

    Args:
        folder (str): The folder that ``export_model`` wrote.
        threads (int): Threads on the CPU. Defaults to 0, the runtime's choice.

    Returns:
        dict[str, Callable]: The graphs by name. Called with tensors, a graph returns
        a tuple of tensors. ``export.json`` has the names of both.

    Raises:
        FileNotFoundError: If the folder has no ``export.json``.
        ImportError: If the runtime is not installed.
    """
    path = osp.join(folder, MANIFEST)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'{folder} has no {MANIFEST}: give a folder that tools/export.py wrote.'
        )
    with open(path) as file:
        manifest = json.load(file)
    reader = get_format(manifest['format'])
    return {
        graph['name']: reader.load(osp.join(folder, graph['file']), threads)
        for graph in manifest['graphs']
    }


def _remove(path: str) -> None:
    """Remove the files of a graph in a folder that holds no other of its stem."""
    folder, stem = osp.dirname(path), osp.splitext(osp.basename(path))[0]
    for name in os.listdir(folder):
        if name.split('.')[0] == stem:
            os.remove(osp.join(folder, name))


def _case_inputs(
    parts: Any, cases: Sequence[Case], channels: int
) -> Dict[Case, List[Tensors]]:
    """Inputs of all graphs for each case, except those of sizes that the model itself
    refuses."""
    inputs: Dict[Case, List[Tensors]] = {}
    generator = torch.Generator().manual_seed(0)
    for case in cases:
        images = torch.randn(case.batch, channels, *case.shape, generator=generator)
        try:
            tensors = list(parts.random_inputs(images, case.num_text_tokens))
            for graph, given in zip(parts.graphs, tensors):
                graph.run(*given)
        except Exception as error:
            refusal = error
            continue
        inputs[case] = tensors
    if not inputs:
        tried = '; '.join(map(str, cases))
        raise ValueError(
            f'{type(parts.model).__name__} does not run on random values of {tried}: '
            f'{refusal}. If it has another image size, set --shape.'
        ) from refusal
    return inputs


def _calibration_inputs(
    parts: Any,
    batches: Optional[Iterable[dict]],
    shape: Tuple[int, int],
    batch_size: Optional[int],
) -> List[List[Tensors]]:
    """Inputs of all graphs for each batch; ``batch_size`` is that of fixed graphs."""

    def resize(images: torch.Tensor) -> torch.Tensor:
        return F.interpolate(images, shape, mode='bilinear', align_corners=False)

    samples = []
    for batch in batches or ():
        with torch.no_grad():
            tensors = [tuple(x) for x in parts.batch_inputs(batch, resize)]
        number = len(tensors[0][0])
        step = batch_size or number
        samples += [
            [tuple(x[i : i + step] for x in given) for given in tensors]
            for i in range(0, number - step + 1, step)
        ]
    if not samples:
        raise ValueError(
            'int8 needs calibration data, but there is no batch of '
            f'{batch_size or 1} images or more: set --calibration N to a number of '
            'batches of the training set.'
        )
    return samples


def _verify(
    graph: Graph,
    session: Session,
    inputs: Sequence[Tensors],
    is_int8: bool,
    tolerance: float,
) -> float:
    """Largest difference of a graph from PyTorch; an error if it is too large."""
    try:
        found = list(differences(graph, session, inputs, is_int8))
    except Exception as error:
        raise ValueError(
            f'The exported graph {graph.name!r} does not run: {error}. Nothing was '
            'written. If it only fails for dynamic sizes, choose --dynamic batch or '
            'another format.'
        ) from error
    largest = 0.0
    for name, difference in found:
        if not difference <= tolerance:
            raise ValueError(
                f'The output {name!r} of the exported graph {graph.name!r} '
                f'differs from PyTorch by {difference:.3g} of its values, more than '
                f'{tolerance}: '
                'nothing was written. '
                + (
                    'Calibrate with more or other batches, or set --tolerance.'
                    if is_int8
                    else 'Choose another format or release of its runtime, or set '
                    '--tolerance.'
                )
            )
        largest = max(largest, difference)
    return largest
