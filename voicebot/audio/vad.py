"""Silero's voice activity detector at 8 kHz, in numpy, with weights shared by all calls.

It tells how likely 32 ms of caller audio holds speech. It does not decide when a turn starts
or ends (``turns`` does), and knows nothing of calls, clocks or where its weights came from.

Why not the ONNX file itself: one ONNX session costs 35 MB for the first call and 9 MB for each
further one, on top of the runtime. The network is small (about 0.4 million multiplications a
window), so it fits a dozen matrix products, and a call then owns 10 kB of state.

The network: 256 samples, preceded by the last 32 of the window before and mirrored by 32 at the
end, give 4 overlapping spectra of 65 magnitudes (a Fourier transform written as a convolution);
four convolutions with ReLU shorten that to one vector of 128; an LSTM cell carries it through
time; one dot product and a sigmoid make the probability. What is merged beforehand: kernel taps
that only ever meet padding are left out, both LSTM matrices are one, and its gates are scaled so
that one ``tanh`` over all of them does the work of three sigmoids and one tanh.

Numpy's OpenBLAS hands even these small products to threads, which costs more than it gains and
disturbs the other cores: run the service with ``OPENBLAS_NUM_THREADS=1`` in its environment
*before* numpy is imported.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

WINDOW_SAMPLES: Final = 256
WINDOW_BYTES: Final = WINDOW_SAMPLES * 2
WINDOW_SECONDS: Final = 0.032

_CONTEXT = 32  # samples of the window before
_MIRROR = 32  # samples reflected at the end
_FFT, _HOP, _SPECTRA, _BINS = 128, 64, 4, 65
_HIDDEN = 128

#: Names are those of Silero's PyTorch module; shapes are theirs too.
WEIGHT_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "stft.forward_basis_buffer": (2 * _BINS, 1, _FFT),
    "encoder.0.reparam_conv.weight": (128, _BINS, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (_HIDDEN, 64, 3),
    "encoder.3.reparam_conv.bias": (_HIDDEN,),
    "decoder.rnn.weight_ih": (4 * _HIDDEN, _HIDDEN),
    "decoder.rnn.weight_hh": (4 * _HIDDEN, _HIDDEN),
    "decoder.rnn.bias_ih": (4 * _HIDDEN,),
    "decoder.rnn.bias_hh": (4 * _HIDDEN,),
    "decoder.decoder.2.weight": (1, _HIDDEN, 1),
    "decoder.decoder.2.bias": (1,),
}

Array = np.ndarray[Any, np.dtype[np.float32]]


class VadWeightsError(Exception):
    """The weights are missing or wrong. ``str()`` names the file and what to do."""


@dataclass(frozen=True, slots=True)
class SileroWeights:
    """Read-only matrices, made once and used by every call's :class:`SileroVad`."""

    spectrum: Array  #: (128, 130), real parts then imaginary parts
    convolution_0: Array  #: (3 * 65, 128)
    bias_0: Array
    convolution_1: Array  #: (3 * 128, 64)
    bias_1: Array
    convolution_2: Array  #: (2 * 64, 64): the first of 3 taps only meets padding
    bias_2: Array
    convolution_3: Array  #: (64, 128): only the middle of 3 taps meets data
    bias_3: Array
    lstm: Array  #: (128 + 128, 4 * 128), gates in the order input, forget, output, cell
    bias_lstm: Array
    output: Array  #: (128,)
    bias_output: float

    @classmethod
    def load(cls, path: Path) -> SileroWeights:
        """Read the ``.npz`` that set-up wrote. Raises VadWeightsError."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                raw = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            fault = f"{path}: cannot be read ({error}); fetch the models again"
            raise VadWeightsError(fault) from error
        return cls.build(raw, str(path))

    @classmethod
    def build(cls, raw: dict[str, Array], source: str) -> SileroWeights:
        """Merge *raw* (named and shaped as WEIGHT_SHAPES); *source* is named in faults."""
        for name, shape in WEIGHT_SHAPES.items():
            if name not in raw or raw[name].shape != shape:
                raise VadWeightsError(
                    f"{source}: {name} of shape {shape} is missing; fetch the models again"
                )

        lstm = np.vstack((raw["decoder.rnn.weight_ih"].T, raw["decoder.rnn.weight_hh"].T))
        bias = raw["decoder.rnn.bias_ih"] + raw["decoder.rnn.bias_hh"]
        return cls(
            spectrum=_frozen(raw["stft.forward_basis_buffer"][:, 0, :].T),
            convolution_0=_taps(raw["encoder.0.reparam_conv.weight"], 0, 3),
            bias_0=_frozen(raw["encoder.0.reparam_conv.bias"]),
            convolution_1=_taps(raw["encoder.1.reparam_conv.weight"], 0, 3),
            bias_1=_frozen(raw["encoder.1.reparam_conv.bias"]),
            convolution_2=_taps(raw["encoder.2.reparam_conv.weight"], 1, 3),
            bias_2=_frozen(raw["encoder.2.reparam_conv.bias"]),
            convolution_3=_taps(raw["encoder.3.reparam_conv.weight"], 1, 2),
            bias_3=_frozen(raw["encoder.3.reparam_conv.bias"]),
            lstm=_gates(lstm),
            bias_lstm=_gates(bias),
            output=_frozen(raw["decoder.decoder.2.weight"][0, :, 0]),
            bias_output=float(raw["decoder.decoder.2.bias"][0]),
        )


def _frozen(array: Array) -> Array:
    copy = np.ascontiguousarray(array, dtype=np.float32)
    if copy is array:
        copy = array.copy()
    copy.flags.writeable = False
    return copy


def _taps(kernel: Array, first: int, last: int) -> Array:
    """(out, in, tap) as a matrix to the right of (time step, tap * in)."""
    return _frozen(kernel[:, :, first:last].transpose(2, 1, 0).reshape(-1, kernel.shape[0]))


def _gates(columns: Array) -> Array:
    """PyTorch's order (input, forget, cell, output) to ours, the sigmoid gates halved.

    sigmoid(x) = (1 + tanh(x / 2)) / 2, and halving a float is exact.
    """
    i, f, g, o = np.split(columns, 4, axis=-1)
    return _frozen(np.concatenate((i * 0.5, f * 0.5, o * 0.5, g), axis=-1))


class SileroVad:
    """The detector of one call. Not thread-safe; owns its buffers, shares *weights*."""

    def __init__(self, weights: SileroWeights) -> None:
        self._weights = weights
        # Buffers hold their padding as zeros for ever; the views below look into them.
        self._input = np.zeros(_CONTEXT + WINDOW_SAMPLES + _MIRROR, np.float32)
        self._spectra_in = _sliding(self._input, _SPECTRA, _FFT, _HOP)
        self._magnitudes = np.zeros((_SPECTRA + 2, _BINS), np.float32)
        self._convolution_0_in = _sliding(self._magnitudes, 4, 3 * _BINS, _BINS)
        self._layer_1 = np.zeros((6, 128), np.float32)
        self._convolution_1_in = _sliding(self._layer_1, 2, 3 * 128, 2 * 128)
        self._recurrent = np.zeros(2 * _HIDDEN, np.float32)  # the cell's input, then h
        self._cell = np.zeros(_HIDDEN, np.float32)
        self._gates = np.zeros(4 * _HIDDEN, np.float32)

    def reset(self) -> None:
        """Forget the audio so far."""
        self._input.fill(0.0)
        self._recurrent.fill(0.0)
        self._cell.fill(0.0)

    def process(self, window: bytes) -> float:
        """Probability (0 to 1) that *window*, the next 256 samples of slin, holds speech."""
        if len(window) != WINDOW_BYTES:
            raise ValueError(f"a window is {WINDOW_BYTES} bytes, not {len(window)}")
        return self._remember(self._encode(window))

    def _encode(self, window: bytes) -> Array:
        """The four convolutions; returns 128 values, not yet rectified."""
        w, x = self._weights, self._input
        x[:_CONTEXT] = x[WINDOW_SAMPLES : WINDOW_SAMPLES + _CONTEXT]
        np.multiply(
            np.frombuffer(window, "<i2"),
            np.float32(1 / 32768),
            out=x[_CONTEXT:-_MIRROR],
            dtype=np.float32,
        )
        x[-_MIRROR:] = x[-_MIRROR - 2 : -2 * _MIRROR - 2 : -1]
        spectra = self._spectra_in @ w.spectrum
        spectra *= spectra
        magnitudes = self._magnitudes[1:-1]
        np.add(spectra[:, :_BINS], spectra[:, _BINS:], out=magnitudes)
        np.sqrt(magnitudes, out=magnitudes)

        layer = self._layer_1[1:-1]
        np.matmul(self._convolution_0_in, w.convolution_0, out=layer)
        layer += w.bias_0
        np.maximum(layer, 0.0, out=layer)
        layer = self._convolution_1_in @ w.convolution_1
        layer += w.bias_1
        np.maximum(layer, 0.0, out=layer)
        layer = layer.reshape(-1) @ w.convolution_2
        layer += w.bias_2
        np.maximum(layer, 0.0, out=layer)
        layer = layer @ w.convolution_3
        layer += w.bias_3
        return layer

    def _remember(self, features: Array) -> float:
        """One step of the LSTM, and the probability."""
        w, state, cell, gates = self._weights, self._recurrent, self._cell, self._gates
        np.maximum(features, 0.0, out=state[:_HIDDEN])
        np.dot(state, w.lstm, out=gates)
        gates += w.bias_lstm
        np.tanh(gates, out=gates)
        sigmoids = gates[: 3 * _HIDDEN]
        sigmoids *= 0.5
        sigmoids += 0.5
        cell *= gates[_HIDDEN : 2 * _HIDDEN]
        candidate = gates[:_HIDDEN]
        candidate *= gates[3 * _HIDDEN :]
        cell += candidate
        hidden = state[_HIDDEN:]
        np.tanh(cell, out=hidden)
        hidden *= gates[2 * _HIDDEN : 3 * _HIDDEN]
        logit = float(np.dot(np.maximum(hidden, 0.0), w.output)) + w.bias_output
        return 1.0 / (1.0 + math.exp(-logit))


def _sliding(buffer: Array, rows: int, width: int, step: int) -> Array:
    """Overlapping rows over *buffer*'s memory, which must stay alive and in place."""
    assert (rows - 1) * step + width <= buffer.size
    return as_strided(buffer, (rows, width), (step * buffer.itemsize, buffer.itemsize))
