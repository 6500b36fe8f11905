"""File formats of graphs, and the runtimes that execute them."""

import os
import os.path as osp
import tempfile
from typing import Any, Callable, Dict, Iterable, List, Sequence

import numpy as np
import torch

from mmvlfusion.utils.checks import check_choice, require

from .graphs import Graph, Tensors, dynamic_axes
from .quantization import quantize_onnx, quantize_openvino

Session = Callable[..., Tensors]


class Format:
    """A file format and its runtime.

    Attributes:
        suffix (str): End of the name of a file.
        libraries (tuple[str, ...]): Optional libraries that write and read it.
        int8_libraries (tuple[str, ...]): Those that quantise it; empty if it cannot
            be quantised.
    """

    suffix: str
    libraries: Sequence[str] = ()
    int8_libraries: Sequence[str] = ()

    def write(self, program: Any, graph: Graph, dynamic: str, path: str) -> None:
        """Write a graph.

        Args:
            program (torch.export.ExportedProgram): The traced graph.
            graph (Graph): The graph.
            dynamic (str): See ``dynamic_axes``.
            path (str): The file.
        """
        raise NotImplementedError

    def quantize(
        self, path: str, graph: Graph, samples: Iterable[Tensors], target: str
    ) -> None:
        """Quantise a graph to int8, statically.

        Args:
            path (str): The file of the graph.
            graph (Graph): The graph.
            samples (Iterable[tuple[torch.Tensor]]): Its inputs for calibration.
            target (str): The file to write.
        """
        raise NotImplementedError

    def load(self, path: str, threads: int = 0) -> Session:
        """Load a graph.

        Args:
            path (str): The file.
            threads (int): Threads on the CPU. Defaults to 0, the runtime's choice.

        Returns:
            Callable: Called with the inputs, it returns a tuple of the outputs.
        """
        raise NotImplementedError


class TorchFormat(Format):
    """A program of ``torch.export``."""

    suffix = '.pt2'

    def write(self, program: Any, graph: Graph, dynamic: str, path: str) -> None:
        """See ``Format``."""
        torch.export.save(program, path)

    def load(self, path: str, threads: int = 0) -> Session:
        """See ``Format``; the number of threads is that of PyTorch."""
        module = torch.export.load(path).module()

        def run(*tensors: torch.Tensor) -> Tensors:
            with torch.no_grad():
                result = module(*tensors)
            return (result,) if isinstance(result, torch.Tensor) else tuple(result)

        return run


class OnnxFormat(Format):
    """ONNX, run by ONNX Runtime."""

    suffix = '.onnx'
    libraries = ('onnx', 'onnxscript', 'onnxruntime')
    int8_libraries = ('onnxruntime',)

    def write(self, program: Any, graph: Graph, dynamic: str, path: str) -> None:
        """See ``Format``."""
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )
        assert onnx_program is not None
        inputs = onnx_program.model.graph.inputs
        for value, axes in zip(inputs, dynamic_axes(graph, dynamic)):
            for axis, name in axes.items():
                if not isinstance(value.shape[axis], int):
                    value.shape[axis] = name
        onnx_program.save(path)

    def quantize(
        self, path: str, graph: Graph, samples: Iterable[Tensors], target: str
    ) -> None:
        """See ``Format``."""
        quantize_onnx(path, to_arrays(graph, samples), target)

    def load(self, path: str, threads: int = 0) -> Session:
        """See ``Format``."""
        runtime = require('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = runtime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )
        names = [node.name for node in session.get_inputs()]

        def run(*tensors: torch.Tensor) -> Tensors:
            arrays = [x.contiguous().numpy() for x in tensors]
            outputs = session.run(None, dict(zip(names, arrays)))
            return tuple(torch.from_numpy(x) for x in outputs)

        return run


class OpenVinoFormat(Format):
    """OpenVINO's intermediate representation, run by OpenVINO."""

    suffix = '.xml'
    libraries = ('onnx', 'onnxscript', 'openvino')
    int8_libraries = ('nncf',)

    def write(self, program: Any, graph: Graph, dynamic: str, path: str) -> None:
        """See ``Format``; ONNX is the intermediate step."""
        openvino = require('openvino')
        with tempfile.TemporaryDirectory() as folder:
            source = osp.join(folder, 'graph.onnx')
            OnnxFormat().write(program, graph, dynamic, source)
            model = openvino.convert_model(source)
            openvino.save_model(model, path, compress_to_fp16=False)

    def quantize(
        self, path: str, graph: Graph, samples: Iterable[Tensors], target: str
    ) -> None:
        """See ``Format``."""
        quantize_openvino(path, to_arrays(graph, samples), target)

    def load(self, path: str, threads: int = 0) -> Session:
        """See ``Format``; bfloat16 is not used, also where the CPU has it."""
        settings: Dict[str, Any] = dict(INFERENCE_PRECISION_HINT='f32')
        if threads:
            settings['INFERENCE_NUM_THREADS'] = threads
        compiled = require('openvino').Core().compile_model(path, 'CPU', settings)
        names = [node.any_name for node in compiled.inputs]

        def run(*tensors: torch.Tensor) -> Tensors:
            arrays = [x.contiguous().numpy() for x in tensors]
            outputs = compiled(dict(zip(names, arrays)))
            return tuple(
                torch.from_numpy(np.array(outputs[i]))
                for i in range(len(compiled.outputs))
            )

        return run


FORMATS: Dict[str, Format] = dict(
    onnx=OnnxFormat(), torch=TorchFormat(), openvino=OpenVinoFormat()
)


def to_arrays(graph: Graph, samples: Iterable[Tensors]) -> List[Dict[str, np.ndarray]]:
    """Convert inputs of a graph to arrays by name.

    Args:
        graph (Graph): The graph.
        samples (Iterable[tuple[torch.Tensor]]): Its inputs.

    Returns:
        list[dict[str, np.ndarray]]: The arrays.
    """
    return [
        {name: x.contiguous().numpy() for name, x in zip(graph.inputs, tensors)}
        for tensors in samples
    ]


def get_format(name: str, int8: bool = False) -> Format:
    """Get a format, and check that its libraries are installed.

    Args:
        name (str): Name of the format.
        int8 (bool): Whether graphs are quantised. Defaults to False.

    Returns:
        Format: The format.

    Raises:
        ImportError: If a library is missing.
        ValueError: If the format is unknown or cannot be quantised.
    """
    check_choice('format', name, tuple(FORMATS))
    found = FORMATS[name]
    if int8 and not found.int8_libraries:
        able = [key for key, value in FORMATS.items() if value.int8_libraries]
        raise ValueError(
            f'The format {name!r} cannot be quantised to int8: choose one of {able}.'
        )
    for library in (*found.libraries, *(found.int8_libraries if int8 else ())):
        require(library)
    return found


def size_in_mib(path: str) -> float:
    """Measure the size of an exported graph.

    Args:
        path (str): Its file; weights in a file of the same stem or name are included.

    Returns:
        float: The size in MiB.
    """
    files = {path, f'{path}.data', f'{osp.splitext(path)[0]}.bin'}
    return sum(os.path.getsize(file) for file in files if osp.exists(file)) / 2**20
