"""The event feed of one call: what happens in it, for whoever watches, as it happens.

The session publishes on the event loop and never waits; watchers (threads of the control API)
read at their own pace. A watcher that joins late gets everything from the start of the call.

An event is a flat dictionary with ``t`` (seconds since the call began) and ``event``:
``bot_said`` (``text``; when it begins to play), ``bot_cut`` (``text`` as heard before a barge-in),
``caller_said`` (``text``), ``state`` (``state``), ``digit`` (``digit``), ``ended`` (``outcome``,
``cost`` and ``currency``, ``uses``: what was charged for).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]

MOST_EVENTS = 2_000
"""Events kept of one call; the longest call allowed makes a few hundred. Beyond this, only
``ended`` is still taken."""


class Subscription:
    """One watcher's view of a feed."""

    def __init__(self, feed: CallFeed, past: list[Event]) -> None:
        self._feed = feed
        # Bounded by what the feed publishes: at most MOST_EVENTS and the end.
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        for event in past:
            self._queue.put(event)

    def put(self, event: Event) -> None:
        """For the feed."""
        self._queue.put(event)

    def get(self, timeout: float) -> Event | None:
        """The next event, or None if there was none within *timeout* seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._feed.unsubscribe(self)


class CallFeed:
    """All events of one call so far, and its watchers. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._watchers: list[Subscription] = []
        self.ended = False

    def publish(self, t: float, event: str, **fields: Any) -> None:
        """Tell the watchers. Returns at once; nothing is taken after ``ended``."""
        item = {"t": round(t, 3), "event": event, **fields}
        with self._lock:
            last = event == "ended"
            if self.ended or (len(self._events) >= MOST_EVENTS and not last):
                return
            self.ended = last
            self._events.append(item)
            for watcher in self._watchers:
                watcher.put(item)

    def subscribe(self) -> Subscription:
        """Watch from the start of the call. The caller owes a ``close()``."""
        with self._lock:
            subscription = Subscription(self, self._events)
            self._watchers.append(subscription)
            return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._watchers:
                self._watchers.remove(subscription)
