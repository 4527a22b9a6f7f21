"""What a call was like, measured on its two tracks after it has ended.

Everything is taken from the audio, nothing from what the service says about itself. The ends of
the customer's answers are known exactly (they are ours), so a pause while somebody dictates a
number is not taken for the end of a turn; the bot's side is judged by its energy. All times are
seconds from the start of the tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from voicebot.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE
from voicebot.simulator.activity import FULL_SCALE, WINDOW, Samples, Segment, active, segments
from voicebot.simulator.customer import Answer, Kind
from voicebot.simulator.tape import SILENT_PEAK, Gap, Tape

#: A sample at or above this is clipped: the top steps of 16-bit PCM and of A-law (32,256).
CLIPPED = 32_256
#: Digital silence longer than this inside speech is a pause that was meant.
LONGEST_DROPOUT_SECONDS = 0.5
#: Speech that is cut off has this much energy at the very edge (-45 dBFS); a fading end has not.
ABRUPT_RMS = FULL_SCALE * 10 ** (-45 / 20)
_EDGE_SAMPLES = 20  # 2.5 ms


class Response(Enum):
    """How the bot reacted to one answer of the customer."""

    ANSWERED = "answered"
    NO_ANSWER = "no answer"
    NOT_YIELDED = "talked on"
    """The bot did not stop for the customer."""
    PREMATURE = "too early"
    """The bot spoke before the customer had finished."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the customer, and what the bot made of it."""

    number: int
    kind: Kind
    question: str
    said: str
    start: float
    end: float
    response: Response
    latency: float | None
    """End of the customer's answer to the bot's first audible sample (voice to voice); None if
    there was no reply, or it came before the end."""
    barge_in: float | None
    """For an answer that interrupted: its first sample to the bot's last audible one."""


@dataclass(frozen=True, slots=True)
class Level:
    """Loudness of one track."""

    speech_rms: float | None
    """dBFS over the windows that hold sound; None if there are none."""
    peak: float | None
    """dBFS; None for digital silence."""
    clipped: int
    """Samples at the limit."""
    speech_seconds: float


@dataclass(frozen=True, slots=True)
class Measures:
    """Everything measured on one call."""

    duration: float
    turns: tuple[Turn, ...]
    bot_segments: tuple[Segment, ...]
    first_audio: float | None
    """Start of the call to the first audible sample of the bot."""
    caller: Level
    bot: Level
    gaps: tuple[Gap, ...]
    """Holes from frames that came late."""
    dropouts: tuple[Segment, ...]
    """Holes that came in the audio itself: silence that cuts speech at both edges (underruns)."""

    @property
    def latencies(self) -> list[float]:
        """Voice-to-voice latency of each spoken turn that was answered. Keys are not among them:
        a key is understood at once, and would make the rest look better than it is."""
        spoken = (turn for turn in self.turns if turn.kind is Kind.SPEECH)
        return [turn.latency for turn in spoken if turn.latency is not None]

    @property
    def barge_ins(self) -> list[float]:
        """How long the bot took to fall silent, each time it was interrupted and did."""
        return [turn.barge_in for turn in self.turns if turn.barge_in is not None]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that *share* (0 to 100) of *values* do not exceed; None if there are none."""
    return float(np.percentile(values, share)) if values else None


def measure(tape: Tape, answers: Sequence[Answer]) -> Measures:
    """Measure a whole call. *answers* are the customer's, on the clock of the tape."""
    bot_track = tape.bot()
    bot = segments(bot_track)
    return Measures(
        duration=tape.duration,
        turns=tuple(_turns(bot, answers, tape.start)),
        bot_segments=tuple(bot),
        first_audio=bot[0].start if bot else None,
        caller=level(tape.caller()),
        bot=level(bot_track),
        gaps=tuple(tape.gaps),
        dropouts=tuple(dropouts(bot_track, bot)),
    )


def _turns(bot: list[Segment], answers: Sequence[Answer], zero: float) -> list[Turn]:
    turns = []
    for number, answer in enumerate(answers, 1):
        start, end = answer.start - zero, answer.end - zero
        following = answers[number].start - zero if number < len(answers) else float("inf")
        response, at = _response(bot, start, end, following)
        if response is Response.PREMATURE and answer.kind is Kind.KEYS:
            response = Response.ANSWERED  # it needed no more keys; nobody was cut short
        turns.append(
            Turn(
                number=number,
                kind=answer.kind,
                question=answer.question,
                said=answer.text,
                start=start,
                end=end,
                response=response,
                latency=None if at is None else at - end,
                barge_in=_time_to_silence(bot, start, following),
            )
        )
    return turns


def _response(
    bot: list[Segment], start: float, end: float, following: float
) -> tuple[Response, float | None]:
    """What the bot did after an answer, and when its reply began."""
    if any(start < one.start < end for one in bot):
        return Response.PREMATURE, None
    reply = next((one for one in bot if end <= one.start < following), None)
    talking = next((one for one in bot if one.start <= start and one.end > end), None)
    if talking is not None and (reply is None or talking.end - end > 1.0):
        return Response.NOT_YIELDED, None
    if reply is None:
        return Response.NO_ANSWER, None
    return Response.ANSWERED, reply.start


def _time_to_silence(bot: list[Segment], start: float, following: float) -> float | None:
    """If the bot was speaking at *start*: how long it went on."""
    cut = next((one for one in bot if one.start < start < one.end), None)
    return None if cut is None or cut.end > following else cut.end - start


def level(samples: Samples) -> Level:
    """Loudness of a track, by the parts of it that hold sound."""
    mask = active(samples)
    windows = samples[: mask.size * WINDOW].reshape(mask.size, WINDOW)[mask].astype(np.float64)
    magnitude = np.abs(samples.astype(np.int32))
    peak = int(magnitude.max()) if magnitude.size else 0
    return Level(
        speech_rms=_dbfs(float(np.sqrt(np.mean(np.square(windows))))) if windows.size else None,
        peak=_dbfs(peak) if peak else None,
        clipped=int(np.count_nonzero(magnitude >= CLIPPED)),
        speech_seconds=float(np.count_nonzero(mask)) * WINDOW / SAMPLE_RATE,
    )


def dropouts(samples: Samples, speech: Sequence[Segment]) -> list[Segment]:
    """Stretches of digital silence inside *speech* with sound cut off at both edges.

    A frame or more long, because an underrun is: shorter ones are zero crossings. A pause that
    the voice makes itself fades in and out, so it does not count.
    """
    quiet = (np.abs(samples.astype(np.int32)) <= SILENT_PEAK).astype(np.int8)
    edges = np.flatnonzero(np.diff(quiet, prepend=0, append=0))
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        length = end - start
        if not FRAME_SAMPLES <= length <= LONGEST_DROPOUT_SECONDS * SAMPLE_RATE:
            continue
        inside = any(
            one.start * SAMPLE_RATE < start and end < one.end * SAMPLE_RATE for one in speech
        )
        if (
            inside
            and _abrupt(samples[:start][-_EDGE_SAMPLES:])
            and _abrupt(samples[end : end + _EDGE_SAMPLES])
        ):
            found.append(Segment(start / SAMPLE_RATE, end / SAMPLE_RATE))
    return found


def _abrupt(edge: Samples) -> bool:
    return (
        edge.size > 0 and float(np.sqrt(np.mean(np.square(edge.astype(np.float64))))) > ABRUPT_RMS
    )


def _dbfs(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1.0) / FULL_SCALE))
