"""Both ends of the protocol: what each may say, what each makes of what it hears."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.audiosocket.test_frames import cut
from voicebot.audiosocket.frames import SLIN_RATES, Kind, encode
from voicebot.audiosocket.protocol import (
    MAX_AUDIO_BYTES,
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
    State,
)

CALL = uuid.UUID("38cb4678-7fb1-4f3d-968d-396c7cf30c07")
IDENTITY = encode(Kind.UUID, CALL.bytes)
FRAME = bytes(range(256)) + bytes(64)


def server(state: State = State.OPEN) -> AudioSocketProtocol:
    protocol = AudioSocketProtocol(Role.SERVER)
    if state is not State.AWAITING_UUID:
        protocol.receive_data(IDENTITY)
    if state is State.ENDED:
        protocol.hang_up()
    elif state is State.CLOSED:
        protocol.receive_eof()
    elif state is State.FAULTED:
        with pytest.raises(RemoteProtocolError):
            protocol.receive_data(IDENTITY)
    assert protocol.state is state
    return protocol


def asterisk(state: State = State.OPEN) -> AudioSocketProtocol:
    protocol = AudioSocketProtocol(Role.ASTERISK)
    if state is not State.AWAITING_UUID:
        protocol.send_uuid(CALL)
    assert protocol.state is state
    return protocol


# -- a server hears


def test_a_call_from_start_to_hangup() -> None:
    protocol = server(State.AWAITING_UUID)
    assert protocol.receive_data(IDENTITY + encode(Kind.SLIN8, FRAME)) == [
        CallIdentified(CALL),
        AudioReceived(FRAME, 8000),
    ]
    assert protocol.receive_data(encode(Kind.DTMF, b"#")) == [DigitReceived("#")]
    assert protocol.receive_eof() == [PeerClosed(clean=True)]
    assert protocol.state is State.CLOSED


@pytest.mark.parametrize(("kind", "rate"), SLIN_RATES.items())
def test_each_slin_kind_has_its_rate(kind: int, rate: int) -> None:
    assert server().receive_data(encode(kind, FRAME)) == [AudioReceived(FRAME, rate)]


@pytest.mark.parametrize("size", [124, 160, 320, 640, 960, 65_534])
def test_any_packet_time_is_taken(size: int) -> None:
    assert server().receive_data(encode(Kind.SLIN8, bytes(size))) == [
        AudioReceived(bytes(size), 8000)
    ]


@pytest.mark.parametrize(
    ("kind", "payload", "what"),
    [
        (0x47, b"ET / HTTP", AnomalyType.UNKNOWN_KIND),
        (0x02, b"", AnomalyType.UNKNOWN_KIND),
        (0x19, bytes(320), AnomalyType.UNKNOWN_KIND),
        (Kind.SLIN8, b"", AnomalyType.EMPTY_AUDIO),
        (Kind.DTMF, b"", AnomalyType.BAD_DIGIT),
        (Kind.DTMF, b"12", AnomalyType.BAD_DIGIT),
        (Kind.DTMF, b"\xe9", AnomalyType.BAD_DIGIT),
        (Kind.ERROR, b"\1", AnomalyType.PEER_ERROR),
    ],
)
def test_an_oddity_is_reported_and_the_call_goes_on(
    kind: int, payload: bytes, what: AnomalyType
) -> None:
    protocol = server()
    assert protocol.receive_data(encode(kind, payload) + encode(Kind.DTMF, b"1")) == [
        Anomaly(what, kind, len(payload)),
        DigitReceived("1"),
    ]


def test_half_a_sample_is_dropped_and_never_shifts_later_audio() -> None:
    odd = encode(Kind.SLIN8, b"ab!") + encode(Kind.SLIN8, b"cd") + encode(Kind.SLIN8, b"!")
    half = AnomalyType.HALF_SAMPLE
    assert server().receive_data(odd) == [
        Anomaly(half, Kind.SLIN8, 3),
        AudioReceived(b"ab", 8000),
        AudioReceived(b"cd", 8000),
        Anomaly(half, Kind.SLIN8, 1),
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n",
        b"\0",
        encode(Kind.SLIN8, FRAME),
        encode(Kind.UUID, bytes(15)),
        encode(Kind.UUID, bytes(36)),
        CALL.bytes,  # the bare identity of an old description of the protocol
    ],
    ids=["http", "end", "audio", "short uuid", "long uuid", "bare uuid"],
)
def test_whoever_does_not_name_a_call_is_refused_at_the_header(garbage: bytes) -> None:
    protocol = server(State.AWAITING_UUID)
    with pytest.raises(RemoteProtocolError, match="first message must be a UUID"):
        protocol.receive_data(garbage[:3])
    assert protocol.state is State.FAULTED


def test_a_second_identity_is_a_fault_but_what_came_before_it_counts() -> None:
    protocol = server(State.AWAITING_UUID)
    with pytest.raises(RemoteProtocolError, match="second UUID") as caught:
        protocol.receive_data(IDENTITY + encode(Kind.SLIN8, FRAME) + IDENTITY[:3])
    assert caught.value.events == [CallIdentified(CALL), AudioReceived(FRAME, 8000)]


def test_closing_before_any_identity_is_no_fault() -> None:
    assert server(State.AWAITING_UUID).receive_eof() == [PeerClosed(clean=True)]


@pytest.mark.parametrize("part", [IDENTITY[:2], IDENTITY[:10]])
def test_closing_inside_the_identity_is_not_clean(part: bytes) -> None:
    protocol = server(State.AWAITING_UUID)
    assert protocol.receive_data(part) == []
    assert protocol.receive_eof() == [PeerClosed(clean=False)]


def test_an_end_message_from_the_peer_ends_the_call() -> None:
    protocol = server()
    assert protocol.receive_data(encode(Kind.HANGUP) + IDENTITY) == [HangupReceived()]
    assert protocol.state is State.ENDED
    with pytest.raises(LocalProtocolError):
        protocol.send_audio(FRAME)


@pytest.mark.parametrize("state", [State.ENDED, State.FAULTED])
def test_after_the_end_everything_is_swallowed_until_eof(state: State) -> None:
    protocol = server(state)
    assert protocol.receive_data(b"\x10\x01") == []
    assert protocol.receive_data(IDENTITY) == []
    assert protocol.receive_eof() == [PeerClosed(clean=state is State.ENDED)]
    assert protocol.receive_eof() == []
    with pytest.raises(LocalProtocolError, match="after the end of the stream"):
        protocol.receive_data(b"x")


# -- a server speaks


def test_each_message_is_one_piece() -> None:
    protocol = server()
    assert protocol.send_audio(FRAME) == b"\x10\x01\x40" + FRAME
    assert protocol.hang_up() == b"\0\0\0"
    assert protocol.state is State.ENDED


@pytest.mark.parametrize("size", [0, 1, 321, MAX_AUDIO_BYTES + 2, 65_536])
def test_audio_that_asterisk_would_choke_on_is_our_fault(size: int) -> None:
    protocol = server()
    with pytest.raises(LocalProtocolError, match=f"audio of {size} bytes"):
        protocol.send_audio(bytes(size))
    assert protocol.state is State.OPEN


@pytest.mark.parametrize("state", [State.AWAITING_UUID, State.OPEN, State.FAULTED])
def test_the_end_message_may_be_sent_as_long_as_the_peer_can_take_it(state: State) -> None:
    assert server(state).hang_up() == b"\0\0\0"


@pytest.mark.parametrize("state", [State.ENDED, State.CLOSED])
def test_there_is_one_end(state: State) -> None:
    with pytest.raises(LocalProtocolError):
        server(state).hang_up()


@pytest.mark.parametrize("state", [s for s in State if s is not State.OPEN])
def test_audio_is_for_open_calls(state: State) -> None:
    with pytest.raises(LocalProtocolError, match="audio may not be sent by server"):
        server(state).send_audio(FRAME)


def test_a_server_sends_neither_identity_nor_digits() -> None:
    with pytest.raises(LocalProtocolError):
        server().send_uuid(CALL)
    with pytest.raises(LocalProtocolError):
        server().send_digit("1")


# -- Asterisk's end


def test_asterisk_names_the_call_then_speaks() -> None:
    protocol = asterisk(State.AWAITING_UUID)
    with pytest.raises(LocalProtocolError):
        protocol.send_audio(FRAME)
    assert protocol.send_uuid(CALL) == IDENTITY
    assert protocol.send_audio(FRAME) == encode(Kind.SLIN8, FRAME)
    assert protocol.send_digit("*") == encode(Kind.DTMF, b"*")
    for wrong in ("", "12", "E", "é"):
        with pytest.raises(LocalProtocolError, match="no DTMF digit"):
            protocol.send_digit(wrong)
    with pytest.raises(LocalProtocolError):
        protocol.send_uuid(CALL)
    with pytest.raises(LocalProtocolError):
        protocol.hang_up()


@pytest.mark.parametrize(
    "fatal",
    [encode(Kind.SLIN8), encode(Kind.DTMF, b"1"), IDENTITY, encode(Kind.ERROR), encode(0x42, b"x")],
    ids=["empty audio", "digit", "uuid", "error", "unknown"],
)
def test_asterisk_takes_nothing_but_audio_and_the_end(fatal: bytes) -> None:
    protocol = asterisk()
    with pytest.raises(RemoteProtocolError) as caught:
        protocol.receive_data(encode(Kind.SLIN8, FRAME) + fatal)
    assert caught.value.events == [AudioReceived(FRAME, 8000)]
    assert protocol.state is State.FAULTED


def test_asterisk_hears_the_end() -> None:
    protocol = asterisk()
    assert protocol.receive_data(b"\0\0\0") == [HangupReceived()]
    assert protocol.state is State.ENDED


# -- properties

MESSAGES = st.one_of(
    st.builds(encode, st.sampled_from(sorted(SLIN_RATES)), st.binary(max_size=700)),
    st.builds(encode, st.just(int(Kind.DTMF)), st.binary(max_size=2)),
    st.builds(encode, st.integers(0, 255), st.binary(max_size=50)),
    st.just(IDENTITY),
)


def outcome(pieces: list[bytes]) -> tuple[list[Event], str | None]:
    protocol = AudioSocketProtocol(Role.SERVER)
    events: list[Event] = []
    fault = None
    for piece in pieces:
        try:
            events += protocol.receive_data(piece)
        except RemoteProtocolError as error:
            events += error.events
            fault = type(error).__name__
    events += protocol.receive_eof()
    return events, fault


@given(st.lists(MESSAGES, max_size=10), st.lists(st.integers(0, 10_000), max_size=20))
def test_the_cuts_do_not_matter(messages: list[bytes], places: list[int]) -> None:
    stream = IDENTITY + b"".join(messages)
    assert outcome(cut(stream, places)) == outcome([stream])


@given(st.lists(st.binary(max_size=100)), st.booleans(), st.sampled_from(Role))
def test_garbage_raises_nothing_but_a_remote_fault(
    pieces: list[bytes], identified: bool, role: Role
) -> None:
    protocol = AudioSocketProtocol(role)
    if identified and role is Role.SERVER:
        protocol.receive_data(IDENTITY)
    elif identified:
        protocol.send_uuid(CALL)
    for piece in pieces:
        with contextlib.suppress(RemoteProtocolError):
            protocol.receive_data(piece)
    assert len(protocol.receive_eof()) == 1


PCM = st.binary(min_size=1, max_size=200).map(lambda b: b * 2)
SAYINGS = st.lists(
    st.one_of(
        st.tuples(st.just("caller"), PCM),
        st.tuples(st.just("bot"), PCM),
        st.tuples(st.just("key"), st.sampled_from("0123456789*#ABCD")),
    )
)


@given(SAYINGS, st.lists(st.integers(0, 10_000), max_size=10))
def test_two_ends_joined_understand_each_other(
    sayings: list[tuple[str, bytes | str]], places: list[int]
) -> None:
    ours, theirs = AudioSocketProtocol(Role.SERVER), AudioSocketProtocol(Role.ASTERISK)
    assert ours.receive_data(theirs.send_uuid(CALL)) == [CallIdentified(CALL)]
    up, down = b"", b""
    sent_up: list[Event] = []
    sent_down: list[Event] = []
    for who, what in sayings:
        if isinstance(what, str):
            up += theirs.send_digit(what)
            sent_up.append(DigitReceived(what))
        elif who == "caller":
            up += theirs.send_audio(what)
            sent_up.append(AudioReceived(what, 8000))
        else:
            down += ours.send_audio(what)
            sent_down.append(AudioReceived(what, 8000))
    assert [e for piece in cut(up, places) for e in ours.receive_data(piece)] == sent_up
    down += ours.hang_up()
    sent_down.append(HangupReceived())
    assert [e for piece in cut(down, places) for e in theirs.receive_data(piece)] == sent_down
    assert ours.receive_eof() == theirs.receive_eof() == [PeerClosed(clean=True)]
