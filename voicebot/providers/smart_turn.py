"""Smart Turn v3.2 in numpy: does it sound as if the caller has finished?

What a worker runs at a pause of a caller. It listens to how somebody stopped (melody, tempo, the
breath after it), not to what was said, and gives a probability. It knows nothing of calls and
pauses, and decides nothing: see :mod:`voicebot.turns.endpointing`.

The network (pipecat-ai/smart-turn, BSD-2-Clause) is the encoder of Whisper tiny on the last 8 s of
16 kHz audio: two convolutions make 400 positions of 384 numbers, 20 ms apart, four transformer
layers let each look at all others, and a weighted mean of them goes through a small classifier.
The published file has its weights in 8 bits, and rounds to 8 bits between any two steps, too. Here
everything between the steps is float32: it is what numpy is fast at, and it hears more. On 138 cuts
in mid-sentence and 23 whole sentences of telephone French the published file takes 62 % of the cuts
for the end (at 0.5), without that rounding it is 39 %, with as many of the ends recognised.

Less than 8 s are preceded by silence (so it was trained), and most turns are 2 s: three quarters of
the positions are that silence. What becomes of it depends little on what follows, so it is
computed once, when the network is loaded, and a turn pays for its own positions only: 30 ms for 2 s
instead of 85. What that changes was measured, too: see docs/decisions/0047.

Merged beforehand: the scale and shift of a normalisation go into the matrix after it, the three
projections of an attention are one, and its scale is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.providers.log_mel import HOP, RATE, Float, log_mel
from voicebot.providers.onnx_file import initializers

SECONDS: Final = 8.0
"""How much the network hears: the last of a turn."""

_COLUMNS, _POSITIONS, _WIDTH, _HEADS = 800, 400, 384, 6
_BANDS: Final = 80
_HEAD: Final = _WIDTH // _HEADS
_MARGIN: Final = 4
"""Positions before the speech that count with it: the filters reach into the silence."""
_EPSILON: Final = 1e-5

_LAYERS: Final = (
    (17, 25, 32, 75, 79, 88),
    (92, 100, 107, 148, 152, 161),
    (165, 173, 180, 221, 225, 234),
    (238, 246, 253, 294, 298, 307),
)
"""The matrices of a layer (query, key, value, output, first and second of the feed-forward part)
have numbers for names in the file."""
_POOL: Final = (311, 313)

Raw = dict[str, np.ndarray[Any, Any]]


class SmartTurnError(Exception):
    """The model cannot be used. ``str()`` names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class _Linear:
    matrix: Float
    bias: Float

    def __call__(self, x: Float) -> Float:
        y: Float = x @ self.matrix
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class _Layer:
    attention: _Linear
    """To query, key and value, side by side."""
    mixed: _Linear
    wide: _Linear
    narrow: _Linear


@dataclass(frozen=True, slots=True)
class _Silence:
    """What the network makes of 8 s of nothing."""

    seen: tuple[Float, ...]
    """Keys and values, for each layer."""
    positions: Float


class SmartTurn:
    """The network, loaded. Not thread safe."""

    def __init__(self, raw: Raw) -> None:
        """*raw*: the file's initializers. KeyError or ValueError if they are not those of v3.2."""
        encoder, classifier = "inner.encoder.", "inner.classifier."
        self._convolutions = tuple(_convolution(raw, f"{encoder}conv{n}") for n in (1, 2))
        self._places = _float(raw[f"{encoder}embed_positions.weight"])
        if self._places.shape != (_POSITIONS, _WIDTH):
            raise ValueError(f"positions of shape {self._places.shape}")
        self._layers = tuple(
            _layer(raw, f"{encoder}layers.{n}.", *numbers) for n, numbers in enumerate(_LAYERS)
        )
        self._last_norm = _Norm(raw, f"{encoder}layer_norm")
        self._pool = _Linear(_matrix(raw, _POOL[0]), _float(raw["inner.pool_attention.0.bias"]))
        self._pool_weight = _matrix(raw, _POOL[1])  # its bias is the same for all: of no account
        self._first = _classifier(raw, f"{classifier}0")
        self._first_norm = _Norm(raw, f"{classifier}1")
        self._second = _classifier(raw, f"{classifier}4")
        self._third = _classifier(raw, f"{classifier}6")
        nothing = self._embed(np.zeros((_BANDS, _COLUMNS), np.float32), 0)
        self._silence = self._encode(nothing, None)

    @classmethod
    def load(cls, path: Path) -> SmartTurn:
        """Raises SmartTurnError."""
        try:
            return cls(initializers(path.read_bytes()))
        except (OSError, ValueError, KeyError) as error:
            raise SmartTurnError(
                f"{path}: not the known Smart Turn v3.2 ({type(error).__name__}: {error}); "
                "run voicebot models"
            ) from error

    def probability(self, pcm: bytes) -> float:
        """How likely (0 to 1) the speaker of *pcm* (slin, to the moment of judging) has finished.

        It needs the beginning of the turn, or the last 8 s, and a little of the silence after it.
        """
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        audio = soxr.resample(samples, SAMPLE_RATE, RATE)[-round(SECONDS * RATE) :]
        return self.judge(features(audio), len(audio) / RATE)

    def judge(self, mel: Float, seconds: float) -> float:
        """The same of the :func:`features` of audio of which the last *seconds* are the turn."""
        own = -(-round(seconds * RATE) // (2 * HOP))
        first = max(0, _POSITIONS - own - _MARGIN)
        encoded = self._encode(self._embed(mel, first), self._silence if first else None)
        positions = encoded.positions
        if first:
            positions = np.concatenate((self._silence.positions[:first], positions))
        return self._classify(self._last_norm(positions))

    def _embed(self, mel: Float, first: int) -> Float:
        """The positions from *first* on: what is heard there, and where it is."""
        start = max(0, 2 * first - 1)  # a position is made of three columns, two apart
        columns = np.zeros((_COLUMNS + 2, _BANDS), np.float32)
        columns[1:-1] = mel.T
        windows = sliding_window_view(columns, (3, _BANDS)).reshape(_COLUMNS, 3 * _BANDS)
        heard = _gelu(self._convolutions[0](windows[start:]))
        count = _POSITIONS - first
        padded = np.zeros((2 * count + 2, _WIDTH), np.float32)
        padded[-1 - len(heard) : -1] = heard
        row, item = padded.strides
        pairs = as_strided(padded, (count, 3 * _WIDTH), (2 * row, item))
        places: Float = _gelu(self._convolutions[1](pairs))
        places += self._places[first:]
        return places

    def _encode(self, x: Float, before: _Silence | None) -> _Silence:
        """The four layers, over the positions *x* and the silence *before* them."""
        seen = []
        for number, layer in enumerate(self._layers):
            projected = layer.attention(_normal(x))
            keys_values = projected[:, _WIDTH:]
            seen.append(keys_values)
            if before is not None:
                silence = before.seen[number][: _POSITIONS - len(x)]
                keys_values = np.concatenate((silence, keys_values))
            x = x + layer.mixed(_attend(projected[:, :_WIDTH], keys_values))
            x += layer.narrow(_gelu(layer.wide(_normal(x))))
        return _Silence(tuple(seen), x)

    def _classify(self, x: Float) -> float:
        weights = np.tanh(self._pool(x)) @ self._pool_weight
        weights = np.exp(weights - weights.max())
        whole = (x * weights).sum(axis=0) / weights.sum()
        whole = _gelu(self._first_norm(self._first(whole)))
        (logit,) = self._third(_gelu(self._second(whole)))
        return float(1 / (1 + np.exp(-logit)))


class _Norm:
    """A normalisation with a scale and a shift of its own."""

    def __init__(self, raw: Raw, name: str) -> None:
        self._scale, self._shift = _float(raw[f"{name}.weight"]), _float(raw[f"{name}.bias"])

    def __call__(self, x: Float) -> Float:
        y: Float = _normal(x)
        y *= self._scale
        y += self._shift
        return y


def features(audio: Float) -> Float:
    """What the network hears of 16 kHz *audio* of at most 8 s: Whisper's input, of samples with a
    mean of 0 and a variance of 1, after as much silence as there is too little of it."""
    padded = np.zeros(round(SECONDS * RATE), np.float32)
    padded[len(padded) - len(audio) :] = audio
    padded -= padded.mean()
    padded /= np.sqrt(padded.var() + 1e-7)
    return log_mel(padded, SECONDS)


def _normal(x: Float) -> Float:
    """Each row with a mean of 0 and a variance of 1."""
    y: Float = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...i,...i->...", y, y) / y.shape[-1]
    y *= (1 / np.sqrt(variance + _EPSILON))[..., None]
    return y


def _gelu(x: Float) -> Float:
    """x times the normal distribution function, by Hendrycks and Gimpel's tanh (to 0.0005): numpy
    has no error function."""
    y: Float = x * x
    y *= np.float32(0.044715 * 0.7978845608)
    y += np.float32(0.7978845608)
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def _attend(queries: Float, keys_values: Float) -> Float:
    """Each query's mean of the values, weighted by how well the keys fit it."""
    query = queries.reshape(-1, _HEADS, _HEAD).transpose(1, 0, 2)
    keys = keys_values[:, :_WIDTH].reshape(-1, _HEADS, _HEAD).transpose(1, 2, 0)
    values = keys_values[:, _WIDTH:].reshape(-1, _HEADS, _HEAD).transpose(1, 0, 2)
    weights = query @ keys
    weights -= weights.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    mixed = np.empty((len(queries), _HEADS, _HEAD), np.float32)
    by_head = mixed.transpose(1, 0, 2)
    np.matmul(weights, values, out=by_head)
    by_head /= weights.sum(axis=-1)[..., None]
    return mixed.reshape(-1, _WIDTH)


def _float(array: np.ndarray[Any, Any]) -> Float:
    return np.ascontiguousarray(array, np.float32)


def _scaled(raw: Raw, quantised: str, scale: str, axis: int) -> Float:
    """8 bits and a scale for each channel along *axis*, multiplied out."""
    whole = raw[quantised].astype(np.float32)
    shape = [1] * whole.ndim
    shape[axis] = -1
    product: Float = whole * raw[scale].reshape(shape)
    return product


def _matrix(raw: Raw, number: int) -> Float:
    return _scaled(raw, f"val_{number}_quantized", f"val_{number}_scale", 1)


def _bias(raw: Raw, name: str) -> Float:
    return _scaled(raw, f"{name}.bias_quantized", f"{name}.bias_quantized_scale", 0)


def _convolution(raw: Raw, name: str) -> _Linear:
    """(out, in, tap) as a matrix to the right of (position, tap * in)."""
    kernel = _scaled(raw, f"{name}.weight_quantized", f"{name}.weight_scale", 0)
    matrix = _float(kernel.transpose(2, 1, 0).reshape(-1, len(kernel)))
    return _Linear(matrix, _bias(raw, name))


def _classifier(raw: Raw, name: str) -> _Linear:
    matrix = _scaled(raw, f"{name}.weight_quantized", f"{name}.weight_scale", 0)
    return _Linear(_float(matrix.T), _bias(raw, name))


def _layer(
    raw: Raw, name: str, query: int, key: int, value: int, output: int, first: int, second: int
) -> _Layer:
    scale = np.float32(_HEAD**-0.5)
    attention = np.concatenate(
        (_matrix(raw, query) * scale, _matrix(raw, key), _matrix(raw, value)), axis=1
    )
    biases = (
        raw[f"{name}self_attn.q_proj.bias"] * scale,
        np.zeros(_WIDTH, np.float32),  # Whisper's keys have none
        raw[f"{name}self_attn.v_proj.bias"],
    )
    return _Layer(
        _after_norm(raw, f"{name}self_attn_layer_norm", attention, np.concatenate(biases)),
        _Linear(_matrix(raw, output), _float(raw[f"{name}self_attn.out_proj.bias"])),
        _after_norm(raw, f"{name}final_layer_norm", _matrix(raw, first), raw[f"{name}fc1.bias"]),
        _Linear(_matrix(raw, second), _float(raw[f"{name}fc2.bias"])),
    )


def _after_norm(raw: Raw, norm: str, matrix: Float, bias: Float) -> _Linear:
    """*matrix* after a normalisation, whose scale and shift are taken into it."""
    scale, shift = raw[f"{norm}.weight"], raw[f"{norm}.bias"]
    return _Linear(_float(scale[:, None] * matrix), _float(bias + shift @ matrix))


@cache
def _loaded(path: str) -> SmartTurn:
    return SmartTurn.load(Path(path))


def load(path: str) -> None:
    """Worker job: load the model in the file *path*, and run it once."""
    _loaded(path).probability(bytes(2 * SAMPLE_RATE))


def probability(path: str, pcm: bytes) -> float:
    """Worker job: :meth:`SmartTurn.probability` with the model in the file *path*."""
    return _loaded(path).probability(pcm)
