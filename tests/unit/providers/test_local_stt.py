"""The stream that feeds Whisper: what it sends, when, and what it throws away."""

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_BYTES
from voicebot.providers.interfaces import Expectation, ProviderError, Stage, Transcript
from voicebot.providers.local_stt import LocalSpeechStream
from voicebot.providers.turn_audio import LONGEST_TURN, PRE_ROLL
from voicebot.workers.jobs import Heard
from voicebot.workers.pool import WorkerError


def frame(value: int) -> bytes:
    return bytes([value]) * FRAME_BYTES


class Engine:
    """Answers when a test tells it to."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Expectation]] = []
        self.answers: list[asyncio.Future[Heard]] = []
        self.transcripts: list[Transcript] = []
        self.errors: list[ProviderError] = []
        self.stream = LocalSpeechStream(
            self._transcribe, self.transcripts.append, self.errors.append
        )

    async def _transcribe(self, pcm: bytes, expectation: Expectation) -> Heard:
        self.asked.append((pcm, expectation))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def says(self, text: str, yes: bool | None = None) -> None:
        self.answers[-1].set_result(Heard(text, 0.8, yes, 0.2))
        await self.settle()


def run(story: Callable[[Engine], Awaitable[None]]) -> Engine:
    async def whole() -> Engine:
        engine = Engine()
        await story(engine)
        await engine.stream.close()
        return engine

    return asyncio.run(whole())


def test_a_turn_is_heard_with_a_little_of_what_came_before() -> None:
    async def story(engine: Engine) -> None:
        stream = engine.stream
        for value in range(100):
            stream.push(frame(value))
        stream.speech_started()
        stream.push(frame(200))
        stream.expect(Expectation.YES_NO)
        stream.speech_paused(7)
        await engine.settle()
        await engine.says("Oui.", yes=True)

    engine = run(story)

    before = round(PRE_ROLL * BYTES_PER_SECOND) // FRAME_BYTES
    expected = b"".join(map(frame, [*range(100 - before, 100), 200]))
    assert engine.asked == [(expected, Expectation.YES_NO)]
    assert engine.transcripts == [
        Transcript("Oui.", 7, 0.8, True, audio_seconds=0.32, compute_seconds=0.2)
    ]


def test_a_later_pause_hears_the_whole_turn_and_replaces_the_earlier_one() -> None:
    async def story(engine: Engine) -> None:
        stream = engine.stream
        stream.speech_started()
        stream.push(frame(1))
        stream.speech_paused(1)
        await engine.settle()
        stream.speech_started()
        stream.push(frame(2))
        stream.speech_paused(2)
        await engine.settle()
        assert engine.answers[0].cancelled()
        await engine.says("zéro six douze")

    engine = run(story)

    assert [pcm for pcm, _ in engine.asked] == [frame(1), frame(1) + frame(2)]
    assert [(t.pause, t.text) for t in engine.transcripts] == [(2, "zéro six douze")]


def test_an_answer_that_comes_in_the_same_instant_as_the_next_pause_is_old() -> None:
    async def story(engine: Engine) -> None:
        engine.stream.speech_started()
        engine.stream.speech_paused(1)
        await engine.settle()
        engine.answers[0].set_result(Heard("old", 1.0, None, 0.1))
        await asyncio.sleep(0)
        engine.stream.speech_paused(2)
        await engine.settle()
        await engine.says("new")

    assert [t.text for t in run(story).transcripts] == ["new"]


def test_the_end_of_a_turn_forgets_its_audio_and_its_request() -> None:
    async def story(engine: Engine) -> None:
        stream = engine.stream
        stream.speech_started()
        stream.push(frame(1))
        stream.speech_paused(1)
        await engine.settle()
        stream.turn_ended()
        stream.push(frame(2))
        stream.speech_started()
        stream.speech_paused(2)
        await engine.settle()

    engine = run(story)

    assert engine.asked[1][0] == frame(2)
    assert engine.transcripts == []


def test_an_endless_turn_keeps_its_end() -> None:
    async def story(engine: Engine) -> None:
        engine.stream.speech_started()
        for second in range(40):
            engine.stream.push(bytes([second]) * BYTES_PER_SECOND)
        engine.stream.speech_paused(1)
        await engine.settle()

    ((pcm, _),) = run(story).asked
    assert len(pcm) == LONGEST_TURN * BYTES_PER_SECOND
    assert pcm[-1] == 39


def test_a_failure_is_reported_once_and_the_next_pause_is_heard() -> None:
    async def story(engine: Engine) -> None:
        engine.stream.speech_started()
        engine.stream.speech_paused(1)
        await engine.settle()
        engine.answers[0].set_exception(WorkerError("transcribe: died, twice"))
        await engine.settle()
        engine.stream.speech_paused(2)
        await engine.settle()
        await engine.says("bonjour")

    engine = run(story)

    (error,) = engine.errors
    assert (error.stage, error.provider, error.retryable) == (Stage.STT, "local", True)
    assert "died, twice" in str(error)
    assert [t.text for t in engine.transcripts] == ["bonjour"]


def test_nothing_comes_after_close() -> None:
    async def story(engine: Engine) -> None:
        engine.stream.speech_started()
        engine.stream.speech_paused(1)
        await engine.settle()
        await engine.stream.close()
        assert engine.answers[0].cancelled()
        await engine.stream.close()

    engine = run(story)
    assert engine.transcripts == []
    assert engine.errors == []


@given(st.lists(st.integers(0, 400).map(lambda n: 2 * n)), st.booleans())
def test_audio_stays_in_step_whatever_the_sizes(sizes: list[int], in_turn: bool) -> None:
    """An odd number of bytes lost would turn the rest of the call into noise."""

    async def story(engine: Engine) -> None:
        if in_turn:
            engine.stream.speech_started()
        for size in sizes:
            engine.stream.push(b"\1\2" * (size // 2))
        engine.stream.speech_paused(1)
        await engine.settle()

    ((pcm, _),) = run(story).asked
    assert pcm == b"\1\2" * (len(pcm) // 2)
