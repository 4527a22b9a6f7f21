"""A-law: exact over its whole domain, judged by digests of two other implementations."""

import hashlib
import struct

import pytest

from voicebot.audio import alaw

EVERY_SAMPLE = struct.pack("<65536h", *range(-32768, 32768))
EVERY_CODE = bytes(range(256))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_every_sample_is_encoded_as_by_cpythons_audioop() -> None:
    # audioop.lin2alaw(EVERY_SAMPLE, 2), Python 3.11; gone from 3.13
    assert sha256(alaw.encode(EVERY_SAMPLE)) == (
        "38488f6fd710f4686360edc4d38639f96c491595ef93f8eb8d62d5e07ca6ce7b"
    )


def test_every_code_is_decoded_as_by_audioop_and_ffmpeg() -> None:
    # audioop.alaw2lin(EVERY_CODE, 2); the same from ffmpeg -f alaw
    assert sha256(alaw.decode(EVERY_CODE)) == (
        "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174"
    )


def test_a_second_round_trip_loses_nothing() -> None:
    assert alaw.encode(alaw.decode(EVERY_CODE)) == EVERY_CODE


def test_digital_silence_is_the_smallest_positive_level() -> None:
    assert alaw.encode(bytes(320)) == bytes([alaw.SILENCE]) * 160


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="321 bytes"):
        alaw.encode(bytes(321))
