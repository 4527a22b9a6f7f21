"""Messages as bytes: cut anywhere, they come out the same."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audiosocket.frames import MAX_PAYLOAD, Frame, FrameReader, Kind, encode

FRAMES = st.builds(Frame, st.integers(0, 255), st.binary(max_size=700))


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """*stream* in pieces, cut at *places* (modulo its length)."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def test_the_first_bytes_of_a_real_call() -> None:
    call_id = uuid.UUID("38cb4678-7fb1-4f3d-968d-396c7cf30c07")
    assert encode(Kind.UUID, call_id.bytes).hex() == "01001038cb46787fb14f3d968d396c7cf30c07"
    assert encode(Kind.SLIN8, bytes(320))[:3].hex() == "100140"
    assert encode(Kind.HANGUP) == b"\0\0\0"
    assert encode(Kind.DTMF, b"5").hex() == "03000135"


def test_a_payload_has_a_largest_size() -> None:
    assert len(encode(Kind.SLIN8, bytes(MAX_PAYLOAD))) == MAX_PAYLOAD + 3
    with pytest.raises(ValueError, match="65535"):
        encode(Kind.SLIN8, bytes(MAX_PAYLOAD + 1))


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_survive_any_cut(frames: list[Frame], places: list[int]) -> None:
    stream = b"".join(encode(frame.kind, frame.payload) for frame in frames)
    reader = FrameReader()
    found: list[Frame] = []
    for piece in cut(stream, places):
        reader.feed(piece)
        while (frame := reader.next()) is not None:
            found.append(frame)
    assert found == frames
    assert reader.pending == 0


def test_an_incomplete_frame_waits_and_shows_its_header() -> None:
    reader = FrameReader()
    reader.feed(bytes([Kind.SLIN8, 0]))
    assert (reader.next(), reader.head, reader.pending) == (None, b"\x10\0", 2)
    reader.feed(b"\2a")
    assert (reader.next(), reader.head) == (None, b"\x10\0\2")
    reader.feed(b"bX")
    assert reader.next() == Frame(Kind.SLIN8, b"ab")
    assert (reader.head, reader.pending) == (b"X", 1)


def test_the_largest_payload_one_byte_at_a_time_is_linear() -> None:
    # A quadratic buffer moves 2 GB here, which takes seconds.
    reader = FrameReader()
    stream = encode(Kind.SLIN8, bytes(MAX_PAYLOAD))
    began = time.process_time()
    for k in range(len(stream)):
        reader.feed(stream[k : k + 1])
        frame = reader.next()
    assert frame is not None
    assert len(frame.payload) == MAX_PAYLOAD
    assert time.process_time() - began < 2


def test_a_log_line_shows_no_digit_and_no_audio() -> None:
    assert str(Frame(Kind.DTMF, b"5")) == "DTMF (1 bytes)"
    assert str(Frame(Kind.SLIN8, b"secret")) == "SLIN8 (6 bytes)"
    assert str(Frame(0x47, b"ET /")) == "kind 0x47 (4 bytes)"
    assert str(Frame(Kind.UUID, bytes(16))) == f"UUID {uuid.UUID(int=0)}"
