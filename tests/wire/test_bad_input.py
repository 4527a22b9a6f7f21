"""What is wrong on the wire costs its own connection at most: a log line, a counter, a goodbye."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable

import pytest
from structlog.typing import EventDict

from tests.support.fake_asterisk import FakeAsterisk, Outcome
from tests.support.waiting import until
from tests.wire.conftest import Bot, Call, Scenario, events
from voicebot.audio import pcm
from voicebot.audiosocket.frames import Kind, encode
from voicebot.call import transport

Play = Callable[[Scenario], None]
Log = list[EventDict]
IDENTITY = encode(Kind.UUID, uuid.uuid4().bytes)


async def gone(bot: Bot) -> None:
    """Until the server has closed its first connection."""
    await until(
        lambda: bool(bot.connections) and bot.connections[0]._transport.is_closing(),
        5,
        "the server has closed",
    )


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",  # TLS
        encode(Kind.SLIN8, bytes(320)),  # audio before any identity
        encode(Kind.UUID, bytes(36)),
        b"\0",
    ],
    ids=["http", "tls", "audio", "uuid as text", "one zero"],
)
def test_what_is_not_audiosocket_is_sent_away(play: Play, logged: Log, garbage: bytes) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, named=False) as peer:
            peer.send(garbage)
            assert await peer.finished() is Outcome.CONTINUES
        assert bot.calls == []
        assert bot.count("audiosocket_errors_total", fault="remote") == 1
        assert bot.count("connections_refused_total", reason="protocol") == 1
        assert events(logged) == ["not an AudioSocket call"]
        assert logged[0]["peer"].startswith("127.0.0.1:")
        assert "first message must be a UUID" in logged[0]["reason"]

    play(scenario)


def test_half_an_identity_then_a_close(play: Play, logged: Log) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, named=False) as peer:
            peer.send(IDENTITY[:2])
            peer.hang_up()
            await gone(bot)
        assert bot.count("connections_refused_total", reason="protocol") == 1
        assert events(logged) == ["not an AudioSocket call"]
        assert logged[0]["reason"] == "closed in the middle of a message"

    play(scenario)


def test_a_port_probe_is_nothing_to_speak_of(play: Play, logged: Log) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, named=False) as peer:
            peer.hang_up()
            await gone(bot)
        assert bot.count("audiosocket_errors_total", fault="remote") == 0
        assert bot.count("connections_refused_total", reason="protocol") == 0
        assert events(logged) == []

    play(scenario)


def test_a_peer_that_says_nothing_is_not_waited_for(
    play: Play, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT", 0.05)

    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, named=False) as peer:
            assert await peer.finished() is Outcome.CONTINUES
            assert peer.ended_by_server
        assert bot.count("connections_refused_total", reason="protocol") == 1
        assert logged[0]["reason"] == "no call UUID within 0.05 s"

    play(scenario)


def test_a_caller_who_is_muted_is_no_fault(
    play: Play, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT", 0.05)

    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            await peer.heard(20)
            assert (await bot.call()).losses == []
        assert events(logged) == []

    play(scenario)


def test_oddities_inside_a_call_are_counted_each_and_logged_once(play: Play, logged: Log) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            for _ in range(3):
                peer.send(encode(0x42, b"what?"))
                peer.send(encode(Kind.SLIN8))
                peer.send(encode(Kind.DTMF, b"12"))
                peer.send(encode(Kind.SLIN8, b"ab!"))
            peer.press("1")
            call = await bot.call()
            await until(lambda: call.digits == "1", 5, "the digit")
            assert call.heard == b"ababab"
        assert bot.count("audiosocket_errors_total", fault="remote") == 12
        assert events(logged) == ["odd AudioSocket message"] * 4
        assert {line["kind"] for line in logged} == {"kind 0x42", "SLIN8", "DTMF"}

    play(scenario)


def test_the_largest_payload_is_taken(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            peer.say(bytes(65_535))
            peer.press("9")
            call = await bot.call()
            await until(lambda: call.digits == "9", 5, "the digit")
            assert len(call.heard) == 65_534
            assert call.losses == []

    play(scenario)


def test_a_second_identity_ends_the_call(play: Play, logged: Log) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            peer.say(b"ab")
            peer.send(IDENTITY)
            assert await peer.finished() is Outcome.CONTINUES
            call = bot.calls[0]
            await asyncio.wait_for(call.lost.wait(), 5)
            assert call.heard == b"ab"
            assert [str(error) for error in call.losses] == ["a second UUID on the same connection"]
        assert bot.count("audiosocket_errors_total", fault="remote") == 1
        assert bot.count("connections_refused_total", reason="protocol") == 0
        assert events(logged) == ["AudioSocket peer broke the protocol"]

    play(scenario)


def test_a_stream_that_stops_inside_a_message(play: Play, logged: Log) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            peer.send(encode(Kind.SLIN8, bytes(320))[:100])
            peer.stop_sending()
            call = await bot.call()
            await asyncio.wait_for(call.lost.wait(), 5)
            assert [str(error) for error in call.losses] == ["closed in the middle of a message"]
        assert events(logged) == ["AudioSocket peer broke the protocol"]

    play(scenario)


@pytest.mark.parametrize(
    "message",
    [encode(Kind.SLIN8, bytes(65_534)), encode(Kind.SLIN8, b"ab"), encode(0x42)],
    ids=["large audio", "tiny audio", "empty unknown"],
)
def test_a_flood_is_cut_off(play: Play, logged: Log, message: bytes) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            peer.send(message * (4_000_000 // len(message)))
            assert await peer.finished() is not Outcome.CALLER_LEFT
            call = bot.calls[0]
            await asyncio.wait_for(call.lost.wait(), 5)
            assert pcm.seconds(call.heard) <= 31
        assert "AudioSocket peer broke the protocol" in events(logged)

    play(scenario)


def test_a_peer_that_never_reads_is_given_up(
    play: Play, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PEER_TIMEOUT", 0.1)

    async def scenario(bot: Bot) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.setblocking(False)
            await loop.sock_connect(peer, ("127.0.0.1", bot.port))
            await loop.sock_sendall(peer, IDENTITY)
            call = await bot.call()
            await asyncio.wait_for(call.lost.wait(), 20)
        assert isinstance(call.losses[0], transport.PeerStalledError)
        assert bot.count("audio_dropped_frames_total", queue="socket") > 0
        assert events(logged) == [
            "peer takes no audio; dropping frames",
            "peer takes no audio; call given up",
        ]

    play(scenario)


def test_a_peer_that_does_not_close_after_the_end_is_closed(
    play: Play, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "DRAIN_TIMEOUT", 0.05)

    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port, stays_after_end=5) as peer:
            call = await bot.call()
            call.connection.end()
            await asyncio.wait_for(call.lost.wait(), 5)
            assert call.losses == [None]
            await peer.finished()
        assert "peer did not close after the end message" in events(logged)

    play(scenario)


def test_a_peer_that_sends_the_end_message_itself_has_hung_up(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        async with await FakeAsterisk.dial(bot.port) as peer:
            call = await bot.call()
            peer.send(encode(Kind.HANGUP))
            peer.say(b"ab")
            peer.stop_sending()
            await asyncio.wait_for(call.lost.wait(), 5)
            assert (call.losses, call.heard) == ([None], b"")
            assert not peer.ended_by_server

    play(scenario)


def test_a_reset_is_a_hangup(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as peer:
            peer.setblocking(False)
            await loop.sock_connect(peer, ("127.0.0.1", bot.port))
            await loop.sock_sendall(peer, IDENTITY)
            call = await bot.call()
            await asyncio.sleep(0.1)  # our frames lie unread: closing now makes the kernel reset
        await asyncio.wait_for(call.lost.wait(), 5)
        assert call.losses == [None]

    play(scenario)


def breaks(call: Call) -> None:
    raise RuntimeError("a bug in the dialogue")


def breaks_wire(call: Call) -> None:
    call.playout = [b"too short"]


@pytest.mark.parametrize("where", ["accept", "frame", "audio", "end", "size"])
def test_a_bug_in_one_call_costs_that_call_only(play: Play, logged: Log, where: str) -> None:
    async def scenario(bot: Bot) -> None:
        def prepare(call: Call) -> None:
            if len(bot.calls) != 1:
                return
            if where == "accept":
                breaks(call)
            elif where == "frame":
                call.on_frame = breaks
            elif where == "audio":
                call.on_audio = breaks
            elif where == "size":
                call.on_frame = breaks_wire

        bot.prepare = prepare
        async with await FakeAsterisk.dial(bot.port) as first:
            victim = await bot.call()
            if where == "end":
                victim.connection_lost = breaks  # type: ignore[method-assign, assignment]
                victim.connection.end()
            async with await FakeAsterisk.dial(bot.port) as second:
                first.talk()
                assert await first.finished() is Outcome.CONTINUES
                await gone(bot)
                await second.heard(len(second.received) + 5)
                assert bot.calls[1].losses == []
        assert any(line["log_level"] == "error" and "exc_info" in line for line in logged)
        assert bot.count("audiosocket_errors_total", fault="local") == (where == "size")

    play(scenario)


def test_two_hundred_connections_at_once(play: Play) -> None:
    async def scenario(bot: Bot) -> None:
        bot.admit = lambda call_id: len(bot.calls) < 20
        peers = await asyncio.gather(*(FakeAsterisk.dial(bot.port) for _ in range(200)))
        await until(lambda: sum(p.ended_by_server for p in peers) == 180, 10, "180 refusals")
        held = [peer for peer in peers if not peer.ended_by_server]
        assert len(held) == len(bot.calls) == 20
        await asyncio.gather(*(peer.heard(len(peer.received) + 10) for peer in held))
        for peer in peers:
            async with peer:
                pass

    play(scenario)
