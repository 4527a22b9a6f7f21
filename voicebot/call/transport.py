"""One AudioSocket connection from Asterisk: reads without waiting, writes on an absolute clock.

It turns bytes into calls of a :class:`CallHandler` and asks that handler for one frame each
20 ms. It must not know what a call is about, nor decide whether one is admitted: ``accept``
does, with the call's UUID. Everything runs on the event loop's thread.

A connection lives through five phases, each with one timer::

    HANDSHAKE  waiting for the UUID             timer: give up
    LIVE       a call, a frame written each 20 ms      next frame
    ENDING     nothing more is written                 last frame has been played
    DRAINING   end message written, reading to EOF     give up waiting for EOF
    CLOSING    closed, unsent bytes may remain         abort

The end has an order that no shortcut may change. Asterisk plays what it gets at once, so the
end message goes out only when the frames already written have been played. After it we read
until Asterisk closes: a socket closed with unread input makes the kernel send RST, and Asterisk
then drops the caller instead of going on in its dialplan (15 of 15 runs).

Bounds. Out: what the socket has not taken is held up to MAX_UNSENT bytes, then new frames are
dropped and counted; a peer that takes nothing for PEER_TIMEOUT is gone. In: a peer that sends
more than any telephone could (:class:`voicebot.audio.pacing.Allowance`) is sent away, for the
loop belongs to the other calls too.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol, cast

import structlog

from voicebot.audio import pcm
from voicebot.audio.pacing import Allowance, FrameClock, grid
from voicebot.audio.resample import StreamResampler
from voicebot.audiosocket.frames import kind_name
from voicebot.audiosocket.protocol import (
    Anomaly,
    AnomalyType,
    AudioReceived,
    AudioSocketProtocol,
    CallIdentified,
    DigitReceived,
    Event,
    HangupReceived,
    LocalProtocolError,
    PeerClosed,
    RemoteProtocolError,
    Role,
)
from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

#: Asterisk sends the UUID in the segment after its connect; a port probe sends nothing.
HANDSHAKE_TIMEOUT: Final = 5.0
#: Asterisk closes within 3 ms of the end message.
DRAIN_TIMEOUT: Final = 1.0
CLOSE_TIMEOUT: Final = 1.0
#: A peer that takes nothing for this long is gone: without it a host that died silently would
#: hold its calls for the quarter of an hour that TCP tries again.
PEER_TIMEOUT: Final = 5.0
#: A frame that is written so much after its slot is late: the objective of the audio.
LATE_SECONDS: Final = 0.02
#: 100 ms of frames, what a loop that catches up writes at once.
MAX_UNSENT: Final = 5 * (pcm.FRAME_BYTES + 3)
#: Half a second of frames with the kernel's overhead for each (the kernel doubles the figure).
_SEND_BUFFER: Final = 16 * 1024
#: Bytes parsed between two looks at the allowance.
_SLICE: Final = 16 * 1024
#: What the smallest message costs of the allowance, so that floods of them count too.
_MIN_PACKET_SECONDS: Final = 0.005


class CallHandler(Protocol):
    """What the connection needs of a call. A method that raises ends this call, no other."""

    def next_frame(self) -> bytes | None:
        """FRAME_BYTES for the next slot, heard two frames from now; None is silence."""

    def audio_received(self, pcm: bytes, now: float) -> None:
        """Caller audio: slin at 8 kHz, whole samples, any length. None comes after an end."""

    def digit_received(self, digit: str, now: float) -> None:
        """The caller released a key."""

    def connection_lost(self, error: Exception | None) -> None:
        """Exactly once, and last. None: we ended the call, or the caller hung up."""


Accept = Callable[[uuid.UUID, "AudioSocketConnection"], CallHandler | None]
"""Admit the call (its handler) or refuse it (None): the caller goes back to the dialplan."""


class PeerStalledError(Exception):
    """The peer has taken no audio for PEER_TIMEOUT."""


class _Phase(Enum):
    HANDSHAKE = "handshake"
    LIVE = "live"
    ENDING = "ending"
    DRAINING = "draining"
    CLOSING = "closing"


class AudioSocketConnection(asyncio.Protocol):
    """The server's end of one connection; ``loop.create_server`` makes one for each."""

    def __init__(
        self,
        accept: Accept,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_opened: Callable[[AudioSocketConnection], None] = lambda connection: None,
        on_closed: Callable[[AudioSocketConnection], None] = lambda connection: None,
    ) -> None:
        """*on_opened* is told when there is a socket, from when on it can be aborted; *on_closed*
        when nothing of the connection is left, call or no call.

        *clock* must have the epoch of ``loop.time()``. It is not that itself because uvloop's
        stands still within one turn of the loop: a long turn would not show as lateness.
        """
        self.call_id: uuid.UUID | None = None
        self.peer = "unknown"
        self.late_frames = 0
        """Frames written more than LATE_SECONDS after their slot."""
        self._accept = accept
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._loop = loop
        self._clock = clock
        self._protocol = AudioSocketProtocol(Role.SERVER)
        self._phase = _Phase.HANDSHAKE
        self._log: Any = log
        self._handler: CallHandler | None = None
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pacer = FrameClock(0.0)
        self._allowance = Allowance(0.0)
        self._full_since: float | None = None
        self._resampler: tuple[int, StreamResampler] | None = None
        self._anomalies: set[AnomalyType] = set()
        # Kept, because looking a label up costs more than counting.
        self._frames_in = metrics.audio_frames.labels("in")
        self._frames_out = metrics.audio_frames.labels("out")
        self._dropped = metrics.dropped_frames.labels("socket")
        self._lateness = metrics.frame_lateness
        self._remote_errors = metrics.audiosocket_errors.labels("remote")
        self._local_errors = metrics.audiosocket_errors.labels("local")
        self._refused = metrics.connections_refused.labels("protocol")

    # -- what the call asks for

    def end(self) -> None:
        """End the call so that Asterisk's dialplan goes on. Idempotent, returns at once.

        Frames already handed over are played; no more are asked for. ``connection_lost(None)``
        follows when Asterisk has closed, at most about a second later.
        """
        if self._phase is _Phase.HANDSHAKE:
            self._say_goodbye()
        elif self._phase is _Phase.LIVE:
            self._phase = _Phase.ENDING
            self._arm(self._pacer.written_until, self._say_goodbye)

    def abort(self) -> None:
        """Drop the connection now. Asterisk hangs up on the caller unless TryExec saves him."""
        if self._phase is not _Phase.CLOSING:
            self._phase = _Phase.CLOSING
            self._disarm()
        self._transport.abort()

    def fail(self, error: Exception) -> None:
        """A bug in a call must cost that call only: the others share this loop."""
        if isinstance(error, LocalProtocolError):
            self._local_errors.inc()
        self._log.error("call handler failed; ending the call", exc_info=error)
        self._error = self._error or error
        self.end()

    # -- what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if address else "unknown"
        self._log = log.bind(peer=self.peer)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._arm(self._clock() + HANDSHAKE_TIMEOUT, self._handshake_timed_out)
        self._on_opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), _SLICE):
                if not self._listening:
                    return  # read only to be thrown away
                self._receive(data[start : start + _SLICE])
        except RemoteProtocolError as error:
            self._peer_at_fault(error)
        except Exception as error:
            self.fail(error)

    def eof_received(self) -> None:
        if self._listening:
            closed = self._protocol.receive_eof()
            if PeerClosed(clean=True) not in closed:
                self._error = RemoteProtocolError("closed in the middle of a message")
                self._count_fault(self._error)
            elif self._phase is _Phase.HANDSHAKE:
                self._log.debug("connection closed before any call")
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _Phase.CLOSING
        self._disarm()
        self._on_closed(self)
        # Asterisk that closes with some of our frames unread makes a reset: a plain hang-up.
        if not isinstance(exc, ConnectionResetError | BrokenPipeError):
            self._error = self._error or exc
        handler, self._handler = self._handler, None
        if handler is None:
            return
        try:
            handler.connection_lost(self._error)
        except Exception:
            self._log.exception("call handler failed at the end of its call")

    # -- reading

    @property
    def _listening(self) -> bool:
        return self._phase in (_Phase.HANDSHAKE, _Phase.LIVE)

    def _receive(self, data: bytes) -> None:
        try:
            events = self._protocol.receive_data(data)
        except RemoteProtocolError as error:
            self._handle(error.events)
            raise
        self._handle(events)

    def _handle(self, events: list[Event]) -> None:
        now = self._clock()
        for event in events:
            if not self._listening:
                return
            if isinstance(event, AudioReceived):
                self._take_audio(event, now)
            elif isinstance(event, CallIdentified):
                self._identify(event.call_id, now)
            elif isinstance(event, HangupReceived):
                # Asterisk never sends it; a peer that does has nothing more to hear from us.
                self._drain()
            else:
                self._spend(_MIN_PACKET_SECONDS, now)
                if isinstance(event, Anomaly):
                    self._note(event)
                elif isinstance(event, DigitReceived):
                    self._live_handler.digit_received(event.digit, now)

    def _identify(self, call_id: uuid.UUID, now: float) -> None:
        self.call_id = call_id
        self._log = log.bind(call_id=str(call_id), peer=self.peer)
        self._allowance = Allowance(now)
        handler = self._accept(call_id, self)
        self._handler = handler
        if handler is None:
            self.end()
        elif self._phase is _Phase.HANDSHAKE:
            self._phase = _Phase.LIVE
            # Not at once: what came in the same segment may already be the end of the call.
            start = grid(now)
            self._pacer = FrameClock(start)
            self._arm(start, self._tick)

    def _take_audio(self, event: AudioReceived, now: float) -> None:
        length = len(event.pcm) / (event.rate * pcm.SAMPLE_WIDTH)
        self._spend(max(length, _MIN_PACKET_SECONDS), now)
        self._frames_in.inc(length / pcm.FRAME_SECONDS)
        audio = event.pcm
        if event.rate != pcm.SAMPLE_RATE:
            audio = self._to_8_khz(audio, event.rate)
        if audio:
            self._live_handler.audio_received(audio, now)

    def _to_8_khz(self, audio: bytes, rate: int) -> bytes:
        if self._resampler is None or self._resampler[0] != rate:
            self._resampler = (rate, StreamResampler(rate, pcm.SAMPLE_RATE))
        return self._resampler[1].push(audio)

    def _spend(self, seconds: float, now: float) -> None:
        if not self._allowance.take(seconds, now):
            raise RemoteProtocolError("sends more than a telephone can: faster than real time")

    def _note(self, anomaly: Anomaly) -> None:
        self._remote_errors.inc()
        if anomaly.type not in self._anomalies:  # the rest of its kind are only counted
            self._anomalies.add(anomaly.type)
            kind, what = kind_name(anomaly.kind), anomaly.type.value
            self._log.warning("odd AudioSocket message", what=what, kind=kind, size=anomaly.size)

    @property
    def _live_handler(self) -> CallHandler:
        assert self._handler is not None, "events other than the UUID only come in LIVE"
        return self._handler

    # -- writing

    def _tick(self) -> None:
        now = self._clock()
        skipped = self._pacer.skipped
        for late in self._pacer.due(now):
            self._lateness.observe(late)
            if late > LATE_SECONDS:
                self.late_frames += 1
            if not self._write_slot(now):
                return
        if self._pacer.skipped > skipped:
            self._log.warning(
                "event loop stood still; frame clock started anew",
                skipped_frames=self._pacer.skipped - skipped,
            )
        self._arm(self._pacer.next_write, self._tick)

    def _write_slot(self, now: float) -> bool:
        """False when the call is no longer LIVE."""
        try:
            frame = self._live_handler.next_frame() or pcm.SILENCE_FRAME
            if len(frame) != pcm.FRAME_BYTES:
                raise LocalProtocolError(f"a frame is {pcm.FRAME_BYTES} bytes, not {len(frame)}")
            if self._phase in (_Phase.LIVE, _Phase.ENDING):
                self._write_frame(frame, now)
        except Exception as error:
            self.fail(error)
        return self._phase is _Phase.LIVE

    def _write_frame(self, frame: bytes, now: float) -> None:
        if self._transport.get_write_buffer_size() + len(frame) <= MAX_UNSENT:
            self._full_since = None
            self._transport.write(self._protocol.send_audio(frame))
            self._frames_out.inc()
            return
        self._dropped.inc()
        if self._full_since is None:
            self._full_since = now
            self._log.warning("peer takes no audio; dropping frames")
        elif now - self._full_since >= PEER_TIMEOUT:
            self._error = PeerStalledError(f"{self.peer} took no audio for {PEER_TIMEOUT:g} s")
            self._log.error("peer takes no audio; call given up", seconds=PEER_TIMEOUT)
            self.abort()

    # -- ending

    def _say_goodbye(self) -> None:
        self._transport.write(self._protocol.hang_up())
        self._drain()

    def _drain(self) -> None:
        self._phase = _Phase.DRAINING
        self._arm(self._clock() + DRAIN_TIMEOUT, self._drain_timed_out)

    def _drain_timed_out(self) -> None:
        self._log.info("peer did not close after the end message", seconds=DRAIN_TIMEOUT)
        self._close()

    def _close(self) -> None:
        self._phase = _Phase.CLOSING
        self._transport.close()
        # close() waits for the peer to take what is unsent, which may be never.
        self._arm(self._clock() + CLOSE_TIMEOUT, self._transport.abort)

    # -- faults

    def _handshake_timed_out(self) -> None:
        self._peer_at_fault(RemoteProtocolError(f"no call UUID within {HANDSHAKE_TIMEOUT:g} s"))

    def _peer_at_fault(self, error: RemoteProtocolError) -> None:
        self._count_fault(error)
        if self._listening:
            self._error = error
            self._say_goodbye()

    def _count_fault(self, error: RemoteProtocolError) -> None:
        self._remote_errors.inc()
        if self.call_id is None:
            self._refused.inc()
            self._log.warning("not an AudioSocket call", reason=str(error))
        else:
            self._log.warning("AudioSocket peer broke the protocol", reason=str(error))

    # -- the one timer

    def _arm(self, when: float, callback: Callable[[], object]) -> None:
        self._disarm()
        self._timer = self._loop.call_at(when, callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def fault_of(error: Exception) -> str:
    """Of a connection that was lost, for the metric of failures."""
    if isinstance(error, RemoteProtocolError):
        return "protocol"
    if isinstance(error, PeerStalledError | OSError):
        return "audio"
    return "internal"
