"""Admission, what is remembered of a call, and the way down; sessions are real, speech is not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import uuid
import weakref
from collections.abc import Callable

import pytest

from tests.support import virtual_time
from tests.support.call_stage import (
    LoudnessVad,
    NotedJournal,
    Prompts,
    ScriptedStt,
    ScriptedTts,
)
from tests.support.waiting import until
from voicebot import script_file
from voicebot.call.detector import Detector
from voicebot.call.services import Services
from voicebot.call.session import CallSession
from voicebot.call.traffic import new_probe_id
from voicebot.dialogue.slots import Limits
from voicebot.server import CallServer
from voicebot.telemetry.metrics import Metrics


class Connection:
    """Stands in for the socket: notes that it was told to end."""

    def __init__(self) -> None:
        self.ended = False
        self.late_frames = 0

    def end(self) -> None:
        self.ended = True

    def fail(self, error: Exception) -> None:
        raise error


class House:
    """A server that was told it listens, and calls that come in."""

    def __init__(self, loop, max_calls: int = 2, resume_window: float = 120.0) -> None:  # type: ignore[no-untyped-def]
        self.metrics = Metrics()
        self.journal = NotedJournal()
        self.server = CallServer(
            self.metrics, loop, max_calls=max_calls, resume_window=resume_window
        )
        self.server._services = Services(
            script=script_file.load(),
            limits=Limits(8, 15, 600),
            stt=ScriptedStt(),
            tts=ScriptedTts(),
            prompts=Prompts(),
            detector=Detector(LoudnessVad(), loop),
            metrics=self.metrics,
            journal=self.journal,  # type: ignore[arg-type]
            recorder=None,
            technician_available=lambda: True,
            currency="USD",
        )

    def call(self, call_id: uuid.UUID | None = None) -> CallSession | None:
        return self.server._accept(call_id or uuid.uuid4(), Connection())  # type: ignore[arg-type]

    def refused(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "voicebot_connections_refused_total", {"reason": reason}
        )


def story(tell: Callable[[House], None], **settings: float) -> None:
    async def main() -> None:
        house = House(asyncio.get_running_loop(), **settings)  # type: ignore[arg-type]
        tell(house)
        for session in list(house.server._calls.values()):
            session.connection_lost(None)
        await house.server.close()

    virtual_time.run(main())


def test_a_probe_takes_no_callers_place_and_there_is_one_at_a_time() -> None:
    def tell(house: House) -> None:
        registry = house.metrics.registry
        assert house.call() is not None
        assert house.call() is not None
        assert house.server.ready() == (False, "full: 2 calls")
        assert house.call(new_probe_id()) is not None
        assert house.call(new_probe_id()) is None
        assert registry.get_sample_value("voicebot_calls_active") == 2
        rejected = {"outcome": "rejected", "traffic": "probe"}
        assert registry.get_sample_value("voicebot_calls_total", rejected) == 1
        assert [record.traffic for record in house.journal.started] == ["live", "live", "probe"]

    story(tell)


def test_a_probe_does_not_keep_a_caller_out() -> None:
    def tell(house: House) -> None:
        assert house.call(new_probe_id()) is not None
        assert house.call() is not None
        assert house.call() is not None
        house.server.drain()
        assert house.call(new_probe_id()) is None

    story(tell)


def test_the_oldest_call_is_shown_until_it_ends() -> None:
    def tell(house: House) -> None:
        def oldest() -> float | None:
            return house.metrics.registry.get_sample_value(
                "voicebot_oldest_call_start_timestamp_seconds"
            )

        assert oldest() == 0
        first, second = house.call(), house.call()
        assert first is not None
        assert second is not None
        assert oldest() == first.started_at.timestamp()
        first.connection_lost(None)
        assert oldest() == second.started_at.timestamp()
        second.connection_lost(None)
        assert oldest() == 0

    story(tell)


def test_the_call_beyond_the_limit_is_refused_and_goes_to_a_person() -> None:
    def tell(house: House) -> None:
        assert house.call() is not None
        assert house.call() is not None
        third = uuid.uuid4()
        assert house.call(third) is None
        assert house.refused("full") == 1
        assert house.server.next_step(third) == "transfer"
        assert house.server.ready() == (False, "full: 2 calls")

    story(tell)


def test_a_bug_at_the_end_of_a_call_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(record: object) -> None:
        raise ZeroDivisionError

    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        session = house.call(call_id)
        house.call()
        assert session is not None
        with monkeypatch.context() as patch:
            patch.setattr(house.journal, "call_ended", broken)
            with pytest.raises(ZeroDivisionError):  # the connection logs it
                session.connection_lost(None)
        assert [call["call_id"] for call in house.server.active_calls()] != [str(call_id)]
        assert house.server.next_step(call_id) == "hangup"
        assert house.call() is not None

    story(tell)


def test_a_place_that_becomes_free_is_taken() -> None:
    def tell(house: House) -> None:
        first = house.call()
        house.call()
        assert first is not None
        first.connection_lost(None)
        assert house.call() is not None

    story(tell)


def test_the_same_uuid_twice_at_once() -> None:
    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        assert house.call(call_id) is not None
        assert house.call(call_id) is None
        assert house.refused("duplicate") == 1

    story(tell)


def test_draining_refuses_and_says_so() -> None:
    def tell(house: House) -> None:
        house.call()
        house.server.drain()
        assert house.call() is None
        assert house.refused("draining") == 1
        assert house.server.ready() == (False, "draining")
        assert [call["state"] for call in house.server.active_calls()] == ["welcome"]

    story(tell)


@pytest.mark.parametrize(("digit", "step"), [("0", "transfer"), (None, "hangup")])
def test_the_dialplan_learns_what_comes_next(digit: str | None, step: str) -> None:
    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        session = house.call(call_id)
        assert session is not None
        if digit:
            session.digit_received(digit, 0.0)
            hear_out(session)
            assert session.end_command is not None
            # Asterisk may ask before it has closed the connection.
            assert house.server.next_step(call_id) == step
        session.connection_lost(None)
        assert house.server.next_step(call_id) == step

    story(tell)


def test_a_call_is_never_unknown_between_its_end_and_being_remembered() -> None:
    """Asterisk's question comes from another thread, at any moment of the end."""

    def tell(house: House) -> None:
        told: list[str] = []

        class Calls(dict[uuid.UUID, CallSession]):
            def __delitem__(self, call_id: uuid.UUID) -> None:
                super().__delitem__(call_id)
                told.append(house.server.next_step(call_id))
                assert house.server.subscribe(call_id) is not None

        house.server._calls = Calls()
        session = house.call()
        assert session is not None
        session.connection_lost(None)
        assert told == ["hangup"]

    story(tell)


def test_a_caller_whom_no_technician_answered_comes_back_to_a_callback() -> None:
    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        session = house.call(call_id)
        assert session is not None
        session.digit_received("0", 0.0)
        hear_out(session)
        session.connection_lost(None)
        again = house.call(call_id)
        assert again is not None
        assert again.state == "transfer"

    story(tell)


def test_a_caller_who_hung_up_and_a_stranger_start_afresh() -> None:
    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        session = house.call(call_id)
        assert session is not None
        session.connection_lost(None)
        again = house.call(call_id)
        assert again is not None
        assert again.state == "welcome"

    story(tell)


def test_an_unknown_call_is_a_persons_business() -> None:
    def tell(house: House) -> None:
        assert house.server.next_step(uuid.uuid4()) == "transfer"
        assert house.server.subscribe(uuid.uuid4()) is None

    story(tell)


def test_the_feed_can_be_read_after_the_end() -> None:
    def tell(house: House) -> None:
        call_id = uuid.uuid4()
        session = house.call(call_id)
        assert session is not None
        session.connection_lost(None)
        watch = house.server.subscribe(call_id)
        assert watch is not None
        kinds = []
        while (event := watch.get(timeout=0)) is not None:
            kinds.append(event["event"])
        assert kinds[0] == "state"
        assert kinds[-1] == "ended"

    story(tell)


def test_an_ended_call_is_forgotten_once_it_cannot_come_back() -> None:
    """Its feed holds what was said, and nobody forgets it by request."""

    async def main() -> None:
        house = House(asyncio.get_running_loop(), resume_window=60.0)
        call_id, another = uuid.uuid4(), uuid.uuid4()
        for ends in (call_id, another):
            session = house.call(ends)
            assert session is not None
            session.connection_lost(None)
        await asyncio.sleep(50.0)
        back = house.call(another)
        assert back is not None
        await asyncio.sleep(5.0)
        back.connection_lost(None)
        assert house.server.subscribe(call_id) is not None
        await asyncio.sleep(10.0)
        assert house.server.subscribe(call_id) is None
        assert house.server.subscribe(another) is not None, "the second time ended later"
        await asyncio.sleep(60.0)
        assert house.server.subscribe(another) is None
        await house.server.close()

    virtual_time.run(main())


def test_of_many_ended_calls_no_more_is_kept_than_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long they would be remembered: a flood of short calls must not fill the memory."""
    monkeypatch.setattr("voicebot.server.MOST_REMEMBERED", 1)

    async def main() -> None:
        house = House(asyncio.get_running_loop())
        kept = []
        for _ in range(2):
            session = house.call()
            assert session is not None
            kept.append(weakref.ref(session.feed))
            session.connection_lost(None)
            await session.released()
        del session
        gc.collect()
        assert [feed() is not None for feed in kept] == [False, True]
        await house.server.close()

    virtual_time.run(main())


def test_a_connection_that_is_just_being_made_does_not_hinder_the_end() -> None:
    """The event loop makes the protocol first, and gives it its socket in a turn of its own."""

    async def main() -> None:
        house = House(asyncio.get_running_loop())
        await house.server.bind("127.0.0.1", 0)
        house.server._connect()
        await house.server.close()

    asyncio.run(main())


def test_who_is_connected_and_says_nothing_is_let_go_at_the_end() -> None:
    async def main() -> None:
        house = House(asyncio.get_running_loop())
        port = await house.server.bind("127.0.0.1", 0)
        await house.server.listen(house.server._services)  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: bool(house.server._connections), 5, "a connection")
        await house.server.close()
        async with asyncio.timeout(1):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()

    asyncio.run(main())


def hear_out(session: CallSession) -> None:
    for _ in range(500):
        session.next_frame()
        if session.end_command is not None:
            return
    raise AssertionError("the call does not end")


def test_closing_waits_until_nothing_of_a_call_is_left() -> None:
    class SlowToClose(ScriptedStt):
        closed = False

        async def close(self) -> None:
            await asyncio.sleep(2)
            self.closed = True

    async def main() -> None:
        house = House(asyncio.get_running_loop())
        assert house.server._services is not None
        stt = SlowToClose()
        house.server._services = dataclasses.replace(house.server._services, stt=stt)
        session = house.call()
        assert session is not None
        session.connection_lost(None)
        await house.server.close()
        assert stt.closed

    virtual_time.run(main())
