"""Recognising recordings that are known: what ``--recognise script`` understands, and nothing else.

Pure. Callers in tests and benchmarks speak from recordings whose words are written down, so the
emulator need not guess: it finds which recording a stretch of speech is, from where in it, and
answers the words of that part. It compares loudness in four bands, every 10 ms, which survives
A-law, resampling, packets and a little noise; other recordings differ in it by far.

A recording is cut at its pauses, because a recogniser that closes an utterance at a pause hears the
rest as another one. Comparing is one matrix product over all recordings, at a few small shifts.
What begins elsewhere, because a client had an utterance closed in the middle of a word, is looked
for everywhere, which takes ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voicebot.audio.pcm import SAMPLE_RATE
from voicebot.emulator.words import Word, Words

Float = npt.NDArray[np.float32]

HOP: Final = 0.010
_HOP: Final = round(HOP * SAMPLE_RATE)
_WINDOW: Final = 2 * _HOP
_EDGES: Final = (200, 600, 1200, 2200, 3600)  #: hertz
_FLOOR: Final = 1e-6  #: power, relative to full scale: -60 dB
PAUSE: Final = 0.20  #: seconds; a longer silence within an utterance cuts it
#: A recording is cut more finely than what is compared with it, so that a silence which is now just
#: above PAUSE, now just below, does no harm.
_FINE_PAUSE: Final = 0.10
_AUDIBLE: Final = -45.0  #: dBFS; and so much above the noise:
_ABOVE_NOISE: Final = 10.0
_SHIFTS: Final = (-6, -4, -2, 0, 2, 4, 6)  #: hops by which a beginning may be misjudged
_COMPARED: Final = 300  #: hops that are compared at most: the first 3 s decide
_SEARCHED: Final = 100  #: hops that are looked for anywhere in a recording
_LEAST: Final = 12  #: hops below which nothing is recognised
#: Correlation above which a recording counts as found. The right one is above 0.95 after A-law,
#: others stay below 0.80.
FOUND: Final = 0.88


@dataclass(frozen=True, slots=True)
class _Start:
    """A place where an utterance can begin."""

    clip: int
    hop: int
    after: float
    """Seconds in the recording at which the piece before ended; words in between belong here."""


class Clips:
    """The recordings that are known, by what they say."""

    def __init__(self, recordings: Mapping[str, bytes]) -> None:
        """*recordings*: words to slin."""
        self._words: list[Words] = []
        self._bands: list[Float] = []
        self._starts: list[_Start] = []
        self._lengths: list[int] = []
        shifted: list[Float] = []
        for text, pcm in recordings.items():
            bands = features(pcm)
            pieces = _pieces(pcm)
            if not pieces:
                continue
            self._words.append(_timed(text, pieces))
            self._bands.append(bands)
            before = 0
            for first, last in _pieces(pcm, _FINE_PAUSE):
                self._starts.append(_Start(len(self._words) - 1, first, before * HOP))
                self._lengths.append(pieces[-1][1] - first)
                shifted += [_cut(bands, first + shift) for shift in _SHIFTS]
                before = last
        self._bank = np.stack(shifted) if shifted else np.zeros((0, _COMPARED * 4), np.float32)
        self._sums = np.cumsum(self._bank, axis=1)
        self._squares = np.cumsum(self._bank**2, axis=1)

    def recognise(self, pcm: bytes) -> tuple[Words, int]:
        """The words of *pcm*, timed from its beginning, and how many stretches are unknown."""
        bands = features(pcm)
        found: list[Word] = []
        unknown = 0
        for first, last in _pieces(pcm):
            if last - first < _LEAST:
                continue
            heard = bands[first : min(last, first + _COMPARED)]
            start = self._best(heard, last - first) or self._anywhere(heard[:_SEARCHED])
            if start is None:
                unknown += 1
                continue
            words = self._words[start.clip]
            high = (start.hop + last - first) * HOP
            offset = (first - start.hop) * HOP
            middle = [(w, (w.start + w.end) / 2) for w in words]
            found += [w.later(offset) for w, at in middle if start.after <= at < high]
        return tuple(found), unknown

    def _best(self, bands: Float, length: int) -> _Start | None:
        """Where *bands*, the beginning of a piece of *length* hops, is from."""
        x = bands.ravel()
        size = x.size
        if not len(self._bank):
            return None
        mean, energy = float(x.mean()), float((x**2).sum())
        sums, squares = self._sums[:, size - 1], self._squares[:, size - 1]
        spread = np.sqrt(
            np.maximum(squares - sums**2 / size, 1e-6) * max(energy - size * mean**2, 1e-6)
        )
        scores = (self._bank[:, :size] @ x - sums * mean) / spread
        by_start = scores.reshape(-1, len(_SHIFTS)).max(axis=1)
        longer = np.asarray(self._lengths) < length - 2 * max(_SHIFTS)
        by_start[longer] = -1.0  # it ended before this did
        best = int(by_start.argmax())
        return self._starts[best] if by_start[best] >= FOUND else None

    def _anywhere(self, bands: Float) -> _Start | None:
        """Where *bands* are from, when they do not begin after a pause."""
        x = bands - bands.mean()
        norm = float(np.linalg.norm(x))
        best, start = FOUND, None
        for clip, known in enumerate(self._bands):
            if len(known) < len(x):
                continue
            windows = np.lib.stride_tricks.sliding_window_view(known, len(x), axis=0)
            sums = windows.sum(axis=(1, 2))
            squares = np.einsum("pbn,pbn->p", windows, windows)
            spread = np.sqrt(np.maximum(squares - sums**2 / x.size, 1e-6)) * max(norm, 1e-3)
            scores = np.einsum("pbn,nb->p", windows, x) / spread
            hop = int(scores.argmax())
            if scores[hop] >= best:
                best, start = float(scores[hop]), _Start(clip, hop, hop * HOP - _FINE_PAUSE / 2)
        return start


def features(pcm: bytes) -> Float:
    """Loudness of *pcm* (slin) in four bands: one row every 10 ms, in decades."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2").astype(np.float32) / 32768
    if samples.size < _WINDOW:
        return np.zeros((0, len(_EDGES) - 1), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    taper = np.hanning(_WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * taper, axis=1)) ** 2 / (_WINDOW / 2) ** 2
    edges = [round(edge * _WINDOW / SAMPLE_RATE) for edge in _EDGES]
    bands = np.add.reduceat(power, edges, axis=1)[:, :-1]
    return np.log10(np.maximum(bands, _FLOOR)).astype(np.float32)


def _cut(bands: Float, first: int) -> Float:
    """_COMPARED rows from *first* on, in one row; silence where there are none."""
    quiet = np.float32(np.log10(_FLOOR))
    out = np.full((_COMPARED, bands.shape[1]), quiet, np.float32)
    taken = bands[max(first, 0) : max(first + _COMPARED, 0)]
    out[max(-first, 0) : max(-first, 0) + len(taken)] = taken[: _COMPARED - max(-first, 0)]
    return out.ravel()


def _pieces(pcm: bytes, pause: float = PAUSE) -> list[tuple[int, int]]:
    """The stretches of sound of *pcm*, in hops: first, and one after the last."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2").astype(np.float32) / 32768
    count = samples.size // _HOP
    power = (samples[: count * _HOP].reshape(count, _HOP) ** 2).mean(axis=1)
    if not count:
        return []
    level = 10 * np.log10(np.maximum(power, _FLOOR))
    loud = np.flatnonzero(level > max(_AUDIBLE, np.percentile(level, 5) + _ABOVE_NOISE))
    if not loud.size:
        return []
    gaps = np.flatnonzero(np.diff(loud) > pause / HOP)
    firsts = [loud[0], *loud[gaps + 1]]
    lasts = [*loud[gaps], loud[-1]]
    return [(int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True) if b - a >= 3]


def _timed(text: str, pieces: list[tuple[int, int]]) -> Words:
    """The words of *text* over the *pieces* of its recording, and none over a pause.

    Words are as long as they are written; where a piece ends, a word with a punctuation mark that
    is close by is taken to end there.
    """
    parts = text.split()
    ends = np.cumsum([len(part) + 1 for part in parts]) / sum(len(part) + 1 for part in parts)
    voiced = np.cumsum([last - first for first, last in pieces])
    cuts = [0]
    for boundary in voiced[:-1] / voiced[-1]:
        marked = [i for i, part in enumerate(parts) if not part[-1].isalnum()]
        near = [i for i in marked if abs(ends[i] - boundary) < 0.2 and i + 1 > cuts[-1]]
        nearest = min(near or range(len(parts)), key=lambda i: abs(ends[i] - boundary))
        cuts.append(max(cuts[-1], nearest + 1))
    cuts.append(len(parts))
    words: list[Word] = []
    for (first, last), low, high in zip(pieces, cuts, cuts[1:], strict=False):
        total = sum(len(part) + 1 for part in parts[low:high])
        at = first * HOP
        for part in parts[low:high]:
            after = at + (last - first) * HOP * (len(part) + 1) / total
            words.append(Word(part, at, after))
            at = after
    return tuple(words)
