"""RTP read off the wire: what is known of it afterwards."""

from __future__ import annotations

import os
import socket
import time

import pytest

from bench.wire import Flow, WireTap
from voicebot.audio.pcm import FRAME_BYTES, FRAME_SAMPLES, FRAME_SECONDS
from voicebot.sip.rtp import PCMA, RtpPacket


def packet(number: int, first: int = 0) -> RtpPacket:
    sequence = (first + number) & 0xFFFF
    return RtpPacket(PCMA, sequence, number * FRAME_SAMPLES, 7, bytes(FRAME_SAMPLES))


def flow(numbers: list[int], first: int = 0, late: float = 0.0) -> Flow:
    """Packets on time, but for every second one."""
    found = Flow()
    for number in numbers:
        found.add(100 + number * FRAME_SECONDS + late * (number % 2), packet(number, first))
    return found


def test_a_frame_that_is_missing_is_counted_and_one_that_overtakes_is_not() -> None:
    assert flow([0, 1, 2, 3]).lost == 0
    assert flow([0, 1, 4, 5]).lost == 2
    assert flow([0, 2, 1, 3]).lost == 0


def test_sequence_numbers_begin_anew_after_65535() -> None:
    assert flow(list(range(8)), first=65_533).lost == 0
    assert flow([0, 1, 2, 6, 7], first=65_533).lost == 3


def test_a_punctual_flow_has_no_jitter_and_one_that_is_late_by_turns_has_that() -> None:
    assert flow(list(range(500))).jitter() == pytest.approx(0.0, abs=1e-9)
    assert flow(list(range(500)), late=0.004).jitter() == pytest.approx(0.004, rel=0.01)


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")
def test_what_passes_on_loopback_is_seen_with_the_time_of_the_kernel() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as speaker,
        socket.socket(type=socket.SOCK_DGRAM) as listener,
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
    ):
        for one in (speaker, listener, stranger):
            one.bind(("127.0.0.1", 0))
        port = speaker.getsockname()[1]
        before = time.time()
        with WireTap(range(port, port + 1)) as tap:
            for number in range(3):
                speaker.sendto(packet(number).encode(), listener.getsockname())
                stranger.sendto(packet(number).encode(), listener.getsockname())
            speaker.sendto(b"no RTP", listener.getsockname())
            for _ in range(7):
                listener.recv(2048)
            after = time.time()
    (seen,) = tap.flows()
    assert seen.sizes == [FRAME_BYTES] * 3
    assert seen.lost == 0
    assert before <= seen.arrivals[0] <= seen.arrivals[-1] <= after
