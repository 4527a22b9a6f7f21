"""Silero's voice activity detector at 8 kHz, in numpy: many callers at once, by one set of weights.

It tells how likely 32 ms of caller audio hold speech. It does not decide when a turn starts
or ends (``turns`` does), and knows nothing of calls, clocks or where its weights came from.

Why not the ONNX file itself: one ONNX session costs 35 MB for the first call and 9 MB for each
further one, on top of the runtime. The network is small (about 0.4 million multiplications a
window), so it fits a dozen matrix products, and a caller then owns 1 kB of state.

Why many at once: its weights are 0.85 MB, and to fetch them costs more than to compute with them.
Windows of several callers are rows of the same products, which read the weights once.

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

import zipfile
from collections.abc import Sequence
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
_STATE = _CONTEXT + 2 * _HIDDEN  # of a caller: samples, the LSTM's h, its cell

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
    """Read-only matrices, made once."""

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


class VoiceState:
    """What the detector remembers of one caller."""

    __slots__ = ("memory",)

    def __init__(self) -> None:
        self.memory: Array = np.zeros(_STATE, np.float32)


class SileroVad:
    """The detector of all callers. Not thread-safe: it owns its buffers."""

    def __init__(self, weights: SileroWeights) -> None:
        self._weights = weights
        self._room = 0
        self._make_room(1)

    def caller(self) -> VoiceState:
        """What to remember of a new caller."""
        return VoiceState()

    def process(self, callers: Sequence[VoiceState], windows: Sequence[bytes]) -> list[float]:
        """Probabilities (0 to 1) that *windows*, the next 256 samples of slin of each of *callers*,
        hold speech. No caller may be there twice.
        """
        count = len(windows)
        pcm = b"".join(windows)
        if any(len(window) != WINDOW_BYTES for window in windows):
            sizes = ", ".join(str(len(window)) for window in windows)
            raise ValueError(f"a window is {WINDOW_BYTES} bytes, not {sizes}")
        if count > self._room:
            self._make_room(count)
        memory = np.concatenate([caller.memory for caller in callers]).reshape(count, _STATE)
        features = self._encode(pcm, memory[:, :_CONTEXT])
        probabilities = self._remember(features, memory[:, _CONTEXT:])
        for caller, remembered in zip(callers, memory, strict=True):
            caller.memory[:] = remembered
        return probabilities

    def _make_room(self, windows: int) -> None:
        """Buffers that hold their padding as zeros for ever, and views that look into them."""
        self._room = windows
        self._input = np.zeros((windows, _CONTEXT + WINDOW_SAMPLES + _MIRROR), np.float32)
        self._spectra_in = _sliding(self._input, _SPECTRA, _FFT, _HOP)
        self._magnitudes = np.zeros((windows, (_SPECTRA + 2) * _BINS), np.float32)
        self._convolution_0_in = _sliding(self._magnitudes, 4, 3 * _BINS, _BINS)
        self._layer_1 = np.zeros((windows, 6 * 128), np.float32)
        self._convolution_1_in = _sliding(self._layer_1, 2, 3 * 128, 2 * 128)

    def _encode(self, pcm: bytes, context: Array) -> Array:
        """The four convolutions; returns 128 values a window, not yet rectified.

        *context* becomes that of the next window.
        """
        w, count = self._weights, len(context)
        x = self._input[:count]
        x[:, :_CONTEXT] = context
        np.multiply(
            np.frombuffer(pcm, "<i2").reshape(count, WINDOW_SAMPLES),
            np.float32(1 / 32768),
            out=x[:, _CONTEXT:-_MIRROR],
            dtype=np.float32,
        )
        context[:] = x[:, WINDOW_SAMPLES:-_MIRROR]
        x[:, -_MIRROR:] = x[:, -_MIRROR - 2 : -2 * _MIRROR - 2 : -1]
        spectra = self._spectra_in[:count].reshape(-1, _FFT) @ w.spectrum
        spectra *= spectra
        magnitudes = self._magnitudes[:count, _BINS:-_BINS].reshape(count, _SPECTRA, _BINS)
        squares = spectra.reshape(count, _SPECTRA, 2 * _BINS)
        np.add(squares[..., :_BINS], squares[..., _BINS:], out=magnitudes)
        np.sqrt(magnitudes, out=magnitudes)

        layer = self._convolution_0_in[:count].reshape(-1, 3 * _BINS) @ w.convolution_0
        layer += w.bias_0
        np.maximum(layer.reshape(count, 4 * 128), 0.0, out=self._layer_1[:count, 128:-128])
        layer = self._convolution_1_in[:count].reshape(-1, 3 * 128) @ w.convolution_1
        layer += w.bias_1
        np.maximum(layer, 0.0, out=layer)
        layer = layer.reshape(count, -1) @ w.convolution_2
        layer += w.bias_2
        np.maximum(layer, 0.0, out=layer)
        features: Array = np.dot(layer, w.convolution_3)
        features += w.bias_3
        return features

    def _remember(self, features: Array, state: Array) -> list[float]:
        """One step of the LSTM, and the probabilities. *state* (h, cell) becomes the next."""
        w = self._weights
        hidden, cell = state[:, :_HIDDEN], state[:, _HIDDEN:]
        np.maximum(features, 0.0, out=features)
        gates = np.concatenate((features, hidden), axis=1) @ w.lstm
        gates += w.bias_lstm
        np.tanh(gates, out=gates)
        sigmoids = gates[:, : 3 * _HIDDEN]
        sigmoids *= 0.5
        sigmoids += 0.5
        cell *= gates[:, _HIDDEN : 2 * _HIDDEN]
        candidate = gates[:, :_HIDDEN]
        candidate *= gates[:, 3 * _HIDDEN :]
        cell += candidate
        np.tanh(cell, out=hidden)
        hidden *= gates[:, 2 * _HIDDEN : 3 * _HIDDEN]
        logits = np.maximum(hidden, 0.0) @ w.output
        logits += w.bias_output
        probabilities: list[float] = (0.5 + 0.5 * np.tanh(0.5 * logits)).tolist()  # the sigmoid
        return probabilities


def _sliding(buffer: Array, rows: int, width: int, step: int) -> Array:
    """Overlapping rows over each row of *buffer*, in its memory, which must stay in place."""
    assert (rows - 1) * step + width <= buffer.shape[1]
    strides = (buffer.strides[0], step * buffer.itemsize, buffer.itemsize)
    return as_strided(buffer, (len(buffer), rows, width), strides)
