"""The event feed of a call: whoever watches sees all of it, in order, whenever they came."""

from __future__ import annotations

import pytest

from voicebot.telemetry import feed
from voicebot.telemetry.feed import CallFeed, Subscription


def everything(subscription: Subscription) -> list[str]:
    events = []
    while (event := subscription.get(timeout=0)) is not None:
        events.append(event["event"])
    return events


def test_a_late_watcher_gets_the_call_from_its_start() -> None:
    call = CallFeed()
    call.publish(0.1, "bot_said", text="Bonjour")
    late = call.subscribe()
    call.publish(2.0, "caller_said", text="Allô")
    call.publish(3.00049, "ended", outcome="completed")
    assert late.get(0) == {"t": 0.1, "event": "bot_said", "text": "Bonjour"}
    assert late.get(0) == {"t": 2.0, "event": "caller_said", "text": "Allô"}
    assert late.get(0) == {"t": 3.0, "event": "ended", "outcome": "completed"}
    assert late.get(0) is None


def test_nothing_comes_after_the_end() -> None:
    call = CallFeed()
    call.publish(1, "ended", outcome="failed")
    call.publish(2, "digit", digit="1")
    assert everything(call.subscribe()) == ["ended"]
    assert call.ended


def test_a_watcher_that_left_gets_no_more() -> None:
    call = CallFeed()
    watcher, other = call.subscribe(), call.subscribe()
    watcher.close()
    watcher.close()
    call.publish(1, "digit", digit="1")
    assert everything(watcher) == []
    assert everything(other) == ["digit"]


def test_an_endless_call_is_bounded_and_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_EVENTS", 3)
    call = CallFeed()
    watcher = call.subscribe()
    for number in range(10):
        call.publish(number, "digit", digit="1")
    call.publish(11, "ended", outcome="completed")
    assert everything(watcher) == everything(call.subscribe()) == ["digit"] * 3 + ["ended"]
