"""AudioSocket without I/O: bytes in, events out; sendings in, bytes out.

One object is one end of one connection. It knows which end it is (:class:`Role`), because the
two ends may say different things: Asterisk names the call, then sends audio and digits, and
closes; the server sends audio and the end message. It must not know sockets, clocks or what a
call is about.

How it works. A connection is in one of five states::

    AWAITING_UUID ──uuid──► OPEN ──end message, either way──► ENDED ──eof──► CLOSED
          │                  │                                                 ▲
          └──── a message that the table below does not allow ────► FAULTED ───┘

Two tables say what may be sent and what may arrive in each state; every row is written out.
In ENDED and FAULTED whatever still arrives is thrown away, so that a shell can go on reading
until the peer closes: closing a socket with unread input makes the kernel send RST, and
Asterisk answers that by hanging up on the caller.

Whose fault. A server bends: messages of unknown kinds, empty audio, half a sample or a digit
that is none become :class:`Anomaly` events and the call goes on; only what makes the rest
meaningless (no identity first, or a second one) is a RemoteProtocolError. In Asterisk's role it
is as strict as Asterisk: anything but the end message and non-empty audio ends the call.
LocalProtocolError means that *our* code asked for something forbidden. If any other exception
escapes, that is a bug.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum
from typing import Final

from voicebot.audiosocket.frames import (
    HEADER_BYTES,
    SLIN_RATES,
    Frame,
    FrameReader,
    Kind,
    encode,
    kind_name,
)

#: Most bytes in one audio message that Asterisk can play: its codec buffer is 8,096 samples,
#: and what is longer is dropped ("Out of buffer space", ``main/translate.c``).
MAX_AUDIO_BYTES: Final = 16_192

_DIGITS: Final = frozenset("0123456789*#ABCD")
_UUID_HEADER: Final = bytes((Kind.UUID, 0, 16))


class ProtocolError(Exception):
    """The rules of AudioSocket were broken."""


class LocalProtocolError(ProtocolError):
    """By us. Nothing was sent and the state is unchanged."""


class RemoteProtocolError(ProtocolError):
    """By the peer. The state is now FAULTED, for good.

    ``events`` are those that came before the fault in the same bytes: handle them first.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.events: list[Event] = []


class Role(Enum):
    """Which end of the connection this object is."""

    # By identity, as for the enumerations below: Enum's own is Python, and runs for each frame.
    __hash__ = object.__hash__

    ASTERISK = "asterisk"  # the TCP client
    SERVER = "server"


class State(Enum):
    """See the drawing at the top of the module."""

    __hash__ = object.__hash__

    AWAITING_UUID = "awaiting uuid"
    OPEN = "open"
    ENDED = "ended"
    CLOSED = "closed"
    FAULTED = "faulted"


class AnomalyType(Enum):
    """What a well-behaved Asterisk never sends. The value is for the log."""

    UNKNOWN_KIND = "a kind of message that is not AudioSocket's; ignored"
    EMPTY_AUDIO = "audio of no samples; ignored"
    HALF_SAMPLE = "audio of an odd number of bytes; the last one was dropped"
    BAD_DIGIT = "DTMF that is not one of 0-9 * # A-D; ignored"
    PEER_ERROR = "the error message; ignored"


@dataclass(frozen=True, slots=True)
class CallIdentified:
    """The call's UUID, once, before any other event."""

    call_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """Signed 16-bit little-endian mono, never empty, always whole samples, of any length."""

    pcm: bytes
    rate: int
    """Hertz."""


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """A key, reported when it is released."""

    digit: str


@dataclass(frozen=True, slots=True)
class HangupReceived:
    """The peer sent the end message. Nothing more may be sent."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something odd that does not harm the call. Count it; log the first of each type."""

    type: AnomalyType
    kind: int
    size: int
    """Bytes of payload."""


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """No more will arrive. *clean* unless the stream stopped in the middle of a message."""

    clean: bool


Event = CallIdentified | AudioReceived | DigitReceived | HangupReceived | Anomaly | PeerClosed


class _Say(Enum):
    __hash__ = object.__hash__

    UUID = "the call's identity"
    DIGIT = "a digit"
    AUDIO = "audio"
    END = "the end message"


_MAY_SEND: Final[dict[Role, dict[State, frozenset[_Say]]]] = {
    Role.ASTERISK: {
        State.AWAITING_UUID: frozenset({_Say.UUID}),
        State.OPEN: frozenset({_Say.AUDIO, _Say.DIGIT}),
        State.ENDED: frozenset(),
        State.CLOSED: frozenset(),
        State.FAULTED: frozenset(),
    },
    Role.SERVER: {
        State.AWAITING_UUID: frozenset({_Say.END}),
        State.OPEN: frozenset({_Say.AUDIO, _Say.END}),
        State.ENDED: frozenset(),
        State.CLOSED: frozenset(),
        # A peer that broke the rules is still told goodbye, so that Asterisk's dialplan
        # goes on instead of dropping the caller.
        State.FAULTED: frozenset({_Say.END}),
    },
}

_MAY_ARRIVE: Final[dict[Role, dict[State, frozenset[_Say]]]] = {
    Role.ASTERISK: {
        State.AWAITING_UUID: frozenset({_Say.END}),
        State.OPEN: frozenset({_Say.AUDIO, _Say.END}),
        State.ENDED: frozenset(),
        State.CLOSED: frozenset(),
        State.FAULTED: frozenset(),
    },
    Role.SERVER: {
        State.AWAITING_UUID: frozenset({_Say.UUID}),
        State.OPEN: frozenset({_Say.AUDIO, _Say.DIGIT, _Say.END}),
        State.ENDED: frozenset(),
        State.CLOSED: frozenset(),
        State.FAULTED: frozenset(),
    },
}

_SAID_BY: Final[dict[int, _Say]] = {
    Kind.HANGUP: _Say.END,
    Kind.UUID: _Say.UUID,
    Kind.DTMF: _Say.DIGIT,
    **dict.fromkeys(SLIN_RATES, _Say.AUDIO),
}

_ANOMALIES: Final[dict[int, AnomalyType]] = {
    Kind.DTMF: AnomalyType.BAD_DIGIT,
    Kind.ERROR: AnomalyType.PEER_ERROR,
}


class AudioSocketProtocol:
    """One end of one connection."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._state = State.AWAITING_UUID
        self._reader = FrameReader()

    @property
    def state(self) -> State:
        return self._state

    def send_uuid(self, call_id: uuid.UUID) -> bytes:
        """ASTERISK: name the call; first, once. Returns what to write, in one call."""
        self._check_sending(_Say.UUID)
        self._state = State.OPEN
        return encode(Kind.UUID, call_id.bytes)

    def send_audio(self, pcm: bytes) -> bytes:
        """Audio at 8 kHz, one message. Returns what to write, in one call.

        Asterisk turns each message into one packet to the phone, at once: send 20 ms at a time,
        when it is due.
        """
        self._check_sending(_Say.AUDIO)
        size = len(pcm)
        if size == 0 or size % 2 or size > MAX_AUDIO_BYTES:
            raise LocalProtocolError(
                f"audio of {size} bytes: it must be whole samples, from 2 to {MAX_AUDIO_BYTES}"
            )
        return encode(Kind.SLIN8, pcm)

    def send_digit(self, digit: str) -> bytes:
        """ASTERISK: a key was released. Returns what to write, in one call."""
        self._check_sending(_Say.DIGIT)
        if digit not in _DIGITS:
            raise LocalProtocolError(f"{digit!r} is no DTMF digit")
        return encode(Kind.DTMF, digit.encode("ascii"))

    def hang_up(self) -> bytes:
        """SERVER: the end message. The caller owes: write it, read on until EOF, then close."""
        self._check_sending(_Say.END)
        if self._state is not State.FAULTED:
            self._state = State.ENDED
        return encode(Kind.HANGUP)

    def receive_data(self, data: bytes) -> list[Event]:
        """Events that *data* completes, in order. Raises RemoteProtocolError (see there)."""
        if self._state is State.CLOSED:
            raise LocalProtocolError("bytes were handed in after the end of the stream")
        if self._state in (State.ENDED, State.FAULTED):
            return []
        self._reader.feed(data)
        events: list[Event] = []
        try:
            while self._state in (State.AWAITING_UUID, State.OPEN):
                self._check_header(self._reader.head)
                frame = self._reader.next()
                if frame is None:
                    break
                self._read(frame, events)
                if not self._reader.pending:
                    break
        except RemoteProtocolError as error:
            self._state = State.FAULTED
            error.events = events
            raise
        return events

    def receive_eof(self) -> list[Event]:
        """The peer closed. Before any UUID this is normal: an unanswered channel, a port probe."""
        if self._state is State.CLOSED:
            return []
        cut = self._state is State.FAULTED or (
            self._state is not State.ENDED and self._reader.pending > 0
        )
        self._state = State.CLOSED
        return [PeerClosed(clean=not cut)]

    def _check_sending(self, say: _Say) -> None:
        if say not in _MAY_SEND[self._role][self._state]:
            raise LocalProtocolError(
                f"{say.value} may not be sent by {self._role.value} when {self._state.value}"
            )

    def _check_header(self, head: bytes) -> None:
        """Refuse a message by its header; waiting for its payload could take for ever."""
        awaiting = self._role is Role.SERVER and self._state is State.AWAITING_UUID
        if awaiting and not _UUID_HEADER.startswith(head):
            raise RemoteProtocolError(
                f"the first message must be a UUID of 16 bytes ({_UUID_HEADER.hex(' ')}), "
                f"but it starts with {head.hex(' ')}"
            )
        if len(head) < HEADER_BYTES:
            return
        kind, size = head[0], int.from_bytes(head[1:3], "big")
        say = _SAID_BY.get(kind)
        if say in _MAY_ARRIVE[self._role][self._state]:
            if self._role is Role.ASTERISK and say is _Say.AUDIO and size == 0:
                raise RemoteProtocolError("audio of length 0")
            return
        if say is _Say.UUID and self._role is Role.SERVER:
            raise RemoteProtocolError("a second UUID on the same connection")
        if self._role is Role.ASTERISK:
            raise RemoteProtocolError(f"{kind_name(kind)} is neither the end message nor audio")

    def _read(self, frame: Frame, events: list[Event]) -> None:
        kind, payload = frame.kind, frame.payload
        if kind in SLIN_RATES:
            self._read_audio(frame, events)
        elif kind == Kind.UUID:
            self._state = State.OPEN
            events.append(CallIdentified(uuid.UUID(bytes=payload)))
        elif kind == Kind.HANGUP:
            self._state = State.ENDED
            events.append(HangupReceived())
        elif kind == Kind.DTMF and (digit := payload.decode("latin-1")) in _DIGITS:
            events.append(DigitReceived(digit))
        else:
            what = _ANOMALIES.get(kind, AnomalyType.UNKNOWN_KIND)
            events.append(Anomaly(what, kind, len(payload)))

    def _read_audio(self, frame: Frame, events: list[Event]) -> None:
        """Each message is a whole frame of Asterisk's: half a sample never continues in the next.

        (Keeping the odd byte for the next message would turn all later audio into noise.)
        """
        size = len(frame.payload)
        if size % 2:
            events.append(Anomaly(AnomalyType.HALF_SAMPLE, frame.kind, size))
        if size >= 2:
            pcm = frame.payload[: size & ~1]
            events.append(AudioReceived(pcm, SLIN_RATES[frame.kind]))
        elif size == 0:
            events.append(Anomaly(AnomalyType.EMPTY_AUDIO, frame.kind, size))
