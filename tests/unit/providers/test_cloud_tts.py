"""What every cloud voice does with the bytes of its vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import virtual_time
from voicebot.providers.cloud_tts import CloudTextToSpeech
from voicebot.providers.errors import ProviderLateError
from voicebot.providers.in_time import Limits
from voicebot.providers.interfaces import ProviderError, Stage
from voicebot.providers.pace import Pace


class Vendor(CloudTextToSpeech):
    """Sends *pieces*: bytes, seconds to wait, or what to raise."""

    name = "vendor"
    voice = "test"

    def __init__(self, *pieces: Any, rate: int = 8000) -> None:
        super().__init__(Limits(first=1.0, behind=1.5, whole=10.0))
        self.rate = rate
        self.closed = False
        self._pieces = pieces

    async def request(self, text: str, pace: Pace | None = None) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, bytes):
                    yield piece
                else:
                    await asyncio.sleep(piece)
        finally:
            self.closed = True

    def explain(self, error: Exception) -> ProviderError | None:
        if isinstance(error, OSError):
            return ProviderError(Stage.TTS, self.name, "gone", retryable=True)
        return None


def tone(seconds: float, rate: int = 8000) -> bytes:
    wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return bytes(wave.astype("<i2").tobytes())


def say(vendor: Vendor) -> list[bytes]:
    async def story() -> list[bytes]:
        return [piece async for piece in vendor.synthesize("Bonjour.")]

    return virtual_time.run(story())


def fails(vendor: Vendor, kind: type[Exception]) -> tuple[str, bytes, float]:
    """What it failed with, what had been heard, and after how long."""

    async def story() -> tuple[str, bytes, float]:
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), b""
        try:
            async for piece in vendor.synthesize("Bonjour."):
                heard += piece
        except kind as error:
            return str(error), heard, loop.time() - began
        raise AssertionError("it did not fail")

    return virtual_time.run(story())


def test_audio_is_passed_on_as_it_arrives() -> None:
    first, second = tone(0.1), tone(0.2)
    assert say(Vendor(first, 0.3, second))[1:] == [second]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_samples_stay_whole_however_the_stream_is_cut(sizes: list[int]) -> None:
    data = tone(0.2)[2:]
    pieces = [data[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]
    pieces = [piece for piece in [*pieces, data[sum(sizes) :]] if piece]
    heard = say(Vendor(*pieces))
    assert all(len(piece) % 2 == 0 for piece in heard)
    assert b"".join(heard) == data


def test_a_half_sample_at_the_end_is_dropped() -> None:
    assert b"".join(say(Vendor(tone(0.1)[2:] + b"\x01"))) == tone(0.1)[2:]


def test_a_faster_stream_is_brought_to_8_khz_whole() -> None:
    data = tone(0.5, 24000)
    heard = b"".join(
        say(Vendor(*(data[i : i + 961] for i in range(0, len(data), 961)), rate=24000))
    )
    samples = np.frombuffer(heard, "<i2")
    assert abs(len(samples) - 4000) <= 16
    spectrum = np.abs(np.fft.rfft(samples[500:3500]))
    assert abs(np.argmax(spectrum) * 8000 / 3000 - 440) < 3


def test_a_sentence_that_breaks_off_is_heard_as_far_as_it_came() -> None:
    sent = tone(0.5, 24000)
    message, heard, _ = fails(Vendor(sent[:15000], sent[15000:], OSError(), rate=24000), Exception)
    assert message == "gone"
    assert abs(len(heard) // 2 - 4000) <= 16


def test_a_sentence_that_breaks_off_before_its_first_sound_is_another_voice_s() -> None:
    """Also where that sound is still in the resampler: two voices in one sentence are worse."""
    sent = bytes(12000) + tone(0.001, 24000)
    _, heard, _ = fails(Vendor(sent, OSError(), rate=24000), ProviderError)
    assert heard == b""


def test_the_silence_before_the_first_sound_is_cut_but_for_a_breath() -> None:
    heard = b"".join(say(Vendor(bytes(8000), bytes(1000), tone(0.1))))
    assert heard[:80] == bytes(80)
    assert len(heard) - len(tone(0.1)) in range(70, 90)


def test_silence_within_a_sentence_stays() -> None:
    data = tone(0.1)[2:] + bytes(4000) + tone(0.1)
    assert b"".join(say(Vendor(data))) == data


@pytest.mark.parametrize("pieces", [(), (bytes(16000),), (b"",)])
def test_nothing_but_silence_is_a_failure_before_any_audio(pieces: tuple[bytes, ...]) -> None:
    message, heard, _ = fails(Vendor(*pieces), ProviderError)
    assert heard == b""
    assert "only silence" in message


@pytest.mark.parametrize(
    ("pieces", "after"),
    [
        ((60.0, tone(0.1)), 1.0),
        ((0.5, bytes(1600), 60.0), 1.0),
        ((0.9, tone(0.1), 60.0), 0.9 + 0.1 + 1.5),
        ((0.9, tone(2.0), 60.0), 0.9 + 2.0 + 1.5),
        ((tone(0.1), *([0.26, tone(0.1)] * 20)), 10 * 0.1 + 1.5),
        ((tone(0.1), *([1.4, tone(1.4)] * 20)), 10.0),
    ],
    ids=[
        "nothing comes",
        "only silence comes",
        "it stalls",
        "it stalls ahead",
        "it drips",
        "it does not end",
    ],
)
def test_each_wait_has_an_end(pieces: tuple[Any, ...], after: float) -> None:
    vendor = Vendor(*pieces)
    message, _, took = fails(vendor, ProviderLateError)
    assert took == pytest.approx(after)
    assert message.startswith("vendor ")
    assert vendor.closed


def test_a_voice_that_is_ahead_may_pause_for_as_long() -> None:
    assert len(say(Vendor(tone(3.0), 4.4, tone(0.1)))) == 2


def test_a_fault_in_the_middle_comes_after_what_was_heard() -> None:
    message, heard, _ = fails(Vendor(tone(0.1), OSError()), ProviderError)
    assert message == "gone"
    assert len(heard) > 1500


def test_a_bug_is_not_taken_for_a_fault_of_the_vendor() -> None:
    message, _, _ = fails(Vendor(KeyError("ours")), KeyError)
    assert "ours" in message


def test_whoever_stops_listening_closes_the_request() -> None:
    vendor = Vendor(tone(0.1), 60.0)

    async def story() -> None:
        async def listen(heard: Callable[[bytes], None]) -> None:
            async for piece in vendor.synthesize("Bonjour."):
                heard(piece)

        pieces: list[bytes] = []
        task = asyncio.create_task(listen(pieces.append))
        await asyncio.sleep(0.1)
        assert len(pieces) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert vendor.closed

    virtual_time.run(story())
