"""Take the weights of Silero's 8 kHz network out of its ONNX file, once, at set-up.

The running service must not import this module: reading ONNX takes the ``onnx`` package,
which alone is larger than the whole audio path. Set-up saves what :func:`extract_weights`
returns as one ``.npz``; :class:`voicebot.audio.vad.SileroWeights` loads that.

``silero_vad.onnx`` is one ``If`` on the sample rate. Its *else* branch is the 8 kHz network,
and the weights are ``Constant`` nodes whose output names end in the names that the PyTorch
module gave them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from voicebot.audio.vad import WEIGHT_SHAPES, VadWeightsError

_EIGHT_KHZ_BRANCH = "else_branch"


def extract_weights(onnx_path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Weights of the 8 kHz branch of *onnx_path*, keyed and shaped as ``WEIGHT_SHAPES``.

    Raises VadWeightsError if the file is not the Silero model this project knows.
    """
    try:
        model = onnx.load(str(onnx_path))
    except (OSError, DecodeError) as error:
        raise VadWeightsError(f"{onnx_path}: cannot be read as an ONNX model ({error})") from error
    found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for node in _branch(model, onnx_path):
        if node.op_type != "Constant":
            continue
        for name in WEIGHT_SHAPES:
            if node.output[0].endswith(name):
                found[name] = numpy_helper.to_array(node.attribute[0].t).astype(np.float32)
    for name, shape in WEIGHT_SHAPES.items():
        if name not in found or found[name].shape != shape:
            got = found[name].shape if name in found else "nothing"
            raise VadWeightsError(
                f"{onnx_path}: not the known Silero VAD: {name} should be {shape}, found {got}"
            )
    return found


def _branch(model: Any, path: Path) -> list[Any]:
    for node in model.graph.node:
        if node.op_type == "If":
            for attribute in node.attribute:
                if attribute.name == _EIGHT_KHZ_BRANCH:
                    return list(attribute.g.node)
    raise VadWeightsError(f"{path}: not the known Silero VAD: no choice of sample rate in it")
