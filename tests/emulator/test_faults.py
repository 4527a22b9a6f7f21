"""Faults: which can be, when they strike, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.emulator import faults
from voicebot.emulator.faults import Fault, FaultError, Faults, Kind, Moment, Service, Vendor


def test_a_fault_strikes_as_often_as_it_was_told() -> None:
    state = Faults()
    state.inject(Fault(Service.CHAT, Kind.RATE_LIMITED, times=2))
    taken = [state.take(Service.CHAT, Moment.CONNECT) for _ in range(3)]
    assert [fault is not None for fault in taken] == [True, True, False]
    assert state.struck(Service.CHAT, Kind.RATE_LIMITED) == 2
    assert state.current() == []


def test_a_fault_strikes_one_service_at_one_moment() -> None:
    state = Faults()
    state.inject(Fault(Service.SPEECH, Kind.DROP))
    assert state.take(Service.SPEECH, Moment.CONNECT) is None
    assert state.take(Service.SPEAK, Moment.STREAM) is None
    assert state.take(Service.SPEECH, Moment.STREAM) is not None


def test_a_fault_without_a_count_stays_until_it_is_mended() -> None:
    state = Faults()
    state.inject(Fault(Service.LISTEN, Kind.HANG))
    assert all(state.take(Service.LISTEN, Moment.CONNECT) for _ in range(10))
    state.clear(Service.LISTEN)
    assert state.take(Service.LISTEN, Moment.CONNECT) is None


def test_a_refusal_closes_the_port_of_the_vendor() -> None:
    changes: list[set[Vendor]] = []
    state = Faults(lambda: changes.append(state.refused()))
    state.inject(Fault(Service.SPEECH, Kind.REFUSE))
    state.clear()
    assert changes == [{Vendor.OPENAI}, set()]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"service": "chat"}, "a fault needs kind"),
        ({"service": "speech", "kind": "unfit"}, "only chat can answer something else"),
        ({"service": "fax", "kind": "hang"}, "'fax' is no service; there are listen, speak"),
        ({"service": "chat", "kind": "sulk"}, "'sulk' is no kind"),
        ({"service": "chat", "kind": "hang", "often": 1}, "a fault has no often"),
        ({"service": "chat", "kind": "hang", "times": 0}, "times must be at least 1"),
        ({"service": "chat", "kind": "hang", "times": "2"}, "times must be a whole number"),
        ({"service": "chat", "kind": "hang", "retry_after": "2"}, "retry_after must be seconds"),
        ({"service": "chat", "kind": "hang", "retry_after": -1}, "must not be below 0"),
        ({"service": "chat", "kind": "odd"}, "chat sends no audio"),
        ({"service": "chat", "kind": "reworded"}, "only realtime"),
        ({"service": "speech", "kind": "unknown"}, "speech sends audio only"),
        ({"service": "chat", "kind": "refuse", "times": 2}, "refuse has no count"),
        ({"service": "chat", "kind": "unauthorized", "moment": "stream"}, "strikes at connect"),
        ({"service": "speech", "kind": "odd", "moment": "connect"}, "strikes at stream"),
        ([], "a fault is an object"),
    ],
)
def test_a_fault_that_cannot_be_says_why(data: object, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint):
        faults.parse(data)


@given(st.sampled_from(Service), st.sampled_from(Kind), st.sampled_from([None, *Moment]))
def test_a_fault_is_what_its_json_says(service: Service, kind: Kind, moment: Moment | None) -> None:
    try:
        fault = Fault(service, kind, moment=moment)
    except FaultError:
        return
    assert faults.parse(fault.as_json()) == fault
