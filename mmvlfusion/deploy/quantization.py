"""Static quantisation of graphs to int8."""

import os.path as osp
import tempfile
from typing import Dict, List

import numpy as np

from mmvlfusion.utils.checks import require

Arrays = List[Dict[str, np.ndarray]]
# Layers with weights. Matmuls of two activations, as in attention, stay in float32.
OPERATORS = ('Conv', 'Gemm', 'MatMul')


def quantize_onnx(path: str, samples: Arrays, target: str) -> None:
    """Quantise an ONNX file with ONNX Runtime.

    Weights have one scale for each output channel and 7 bits, because the 8-bit
    instructions of CPUs without VNNI saturate with more.

    Args:
        path (str): The file.
        samples (list[dict[str, np.ndarray]]): Inputs for calibration, by name.
        target (str): The file to write.
    """
    quantization = require('onnxruntime.quantization')
    preparation = require('onnxruntime.quantization.shape_inference')
    remaining = iter(samples)
    reader = type(
        'Samples',
        (quantization.CalibrationDataReader,),
        dict(get_next=lambda self: next(remaining, None)),
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = osp.join(folder, 'prepared.onnx')
        preparation.quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options=dict(MatMulConstBOnly=True),
        )


def quantize_openvino(path: str, samples: Arrays, target: str) -> None:
    """Quantise a file of OpenVINO with NNCF.

    Args:
        path (str): The file.
        samples (list[dict[str, np.ndarray]]): Inputs for calibration, by name.
        target (str): The file to write.
    """
    nncf, openvino = require('nncf'), require('openvino')
    quantized = nncf.quantize(
        openvino.Core().read_model(path),
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )
    openvino.save_model(quantized, target, compress_to_fp16=False)
