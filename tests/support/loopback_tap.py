"""RTP sent over the loopback and read off it, for a process that may: what was seen, as JSON."""

from __future__ import annotations

import json
import socket
import time

from bench.wire import WireTap
from voicebot.audio.pcm import FRAME_SAMPLES
from voicebot.sip.rtp import PCMA, RtpPacket


def packet(number: int, first: int = 0) -> RtpPacket:
    """The one of index *number* in a flow whose sequence numbers begin at *first*."""
    sequence = (first + number) & 0xFFFF
    return RtpPacket(PCMA, sequence, number * FRAME_SAMPLES, 7, bytes(FRAME_SAMPLES))


def main() -> None:
    """Three packets of a flow, among those of a stranger and what is no RTP."""
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
    in_time = before <= seen.arrivals[0] <= seen.arrivals[-1] <= after
    print(json.dumps({"sizes": seen.sizes, "lost": seen.lost, "in time": in_time}))


if __name__ == "__main__":
    main()
