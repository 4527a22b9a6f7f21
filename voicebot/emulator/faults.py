"""Which fault each emulated service has, and for how many requests.

Pure. A service has at most one fault at a time; a new one replaces it. Whoever serves a request
asks :meth:`Faults.take` at two moments: before anything is answered, and when the answer is under
way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Vendor(Enum):
    """Who runs a service: one address each."""

    DEEPGRAM = "deepgram"
    GROQ = "groq"
    OPENAI = "openai"


class Service(Enum):
    """One API."""

    LISTEN = "listen"
    """Deepgram speech to text, ``/v1/listen`` and ``/v2/listen``."""
    SPEAK = "speak"
    """Deepgram Aura, ``/v1/speak``, by WebSocket and by request."""
    CHAT = "chat"
    """Chat completions."""
    SPEECH = "speech"
    """OpenAI ``/v1/audio/speech``."""
    REALTIME = "realtime"
    """OpenAI Realtime, as a voice."""

    @property
    def vendor(self) -> Vendor:
        return _VENDORS[self]


_VENDORS: Final = {
    Service.LISTEN: Vendor.DEEPGRAM,
    Service.SPEAK: Vendor.DEEPGRAM,
    Service.CHAT: Vendor.GROQ,
    Service.SPEECH: Vendor.OPENAI,
    Service.REALTIME: Vendor.OPENAI,
}


class Moment(Enum):
    """When a fault strikes."""

    CONNECT = "connect"
    """Before anything of an answer."""
    STREAM = "stream"
    """When part of the answer has been sent."""
    NOW = "now"
    """Every connection of the service that is open at this instant, once."""


class Kind(Enum):
    """What goes wrong."""

    REFUSE = "refuse"
    """The vendor's port is closed, and connections that exist are cut at their next request."""
    UNAUTHORIZED = "unauthorized"
    """401."""
    FORBIDDEN = "forbidden"
    """403: the key lacks the right."""
    RATE_LIMITED = "rate_limited"
    """429 with ``retry-after``."""
    SERVER_ERROR = "server_error"
    """500; in an open WebSocket a close with 1011."""
    RETIRED = "retired"
    """The model is gone: 404, or Groq's 400 ``model_decommissioned``."""
    HANG = "hang"
    """Nothing more comes, nothing more is read, and the connection stays open."""
    SLOW = "slow"
    """The answer drips."""
    DROP = "drop"
    """The connection is cut (TCP reset)."""
    MALFORMED = "malformed"
    """What should be JSON is not; what should be audio is noise of the wrong length."""
    UNKNOWN = "unknown"
    """Message types, events or fields that nobody has heard of, before the right ones."""
    ODD = "odd"
    """Audio in pieces of odd sizes, with an odd total."""
    SILENCE = "silence"
    """Audio that is silent."""
    HALF = "half"
    """Audio that ends half way, in order."""
    EMPTY = "empty"
    """An answer with nothing in it: no words, no tokens, no audio."""
    UNFIT = "unfit"
    """A reply in good order that is not what was asked for: the model refuses, in prose."""
    REWORDED = "reworded"
    """Realtime says other words than it was asked to."""


_AT_CONNECT: Final = {Kind.REFUSE, Kind.UNAUTHORIZED, Kind.FORBIDDEN, Kind.RATE_LIMITED}
_AT_CONNECT_AND_STREAM: Final = {Kind.HANG, Kind.DROP, Kind.SERVER_ERROR, Kind.RETIRED}
_AUDIO: Final = {Kind.ODD, Kind.SILENCE, Kind.HALF}
_NOW: Final = {Kind.HANG, Kind.SLOW, Kind.DROP, Kind.SERVER_ERROR}
_SPEAKING: Final = {Service.SPEAK, Service.SPEECH, Service.REALTIME}


class FaultError(ValueError):
    """A fault that there cannot be. ``str()`` says why and what there is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one service. Raises FaultError when the parts do not go together."""

    service: Service
    kind: Kind
    times: int | None = None
    """Requests (for LISTEN in mid-stream: results) that it strikes; None until it is cleared."""
    moment: Moment | None = None
    """None: the usual one of its kind."""
    retry_after: float = 1.0
    """Seconds, for RATE_LIMITED."""

    def __post_init__(self) -> None:
        if self.moment is None:
            early = _AT_CONNECT | {Kind.HANG, Kind.SERVER_ERROR, Kind.RETIRED}
            moment = Moment.CONNECT if self.kind in early else Moment.STREAM
            object.__setattr__(self, "moment", moment)
        allowed = self._moments()
        if self.moment not in allowed:
            names = " or ".join(moment.value for moment in allowed)
            raise FaultError(f"{self.kind.value} strikes at {names}, not {self.moment.value}")  # type: ignore[union-attr]
        if self.times is not None and self.times < 1:
            raise FaultError(f"times must be at least 1, or null for always; it is {self.times}")
        if self.kind is Kind.REFUSE and self.times is not None:
            raise FaultError("refuse has no count: nobody counts what a closed port refuses")
        if self.kind in _AUDIO and self.service not in _SPEAKING:
            raise FaultError(f"{self.service.value} sends no audio, so it cannot be wrong")
        if self.kind is Kind.UNKNOWN and self.service is Service.SPEECH:
            raise FaultError("speech sends audio only, so no message of it can be unknown")
        if self.kind is Kind.REWORDED and self.service is not Service.REALTIME:
            raise FaultError("only realtime can choose its own words")
        if self.kind is Kind.UNFIT and self.service is not Service.CHAT:
            raise FaultError("only chat can answer something else than it was asked")
        if self.retry_after < 0:
            raise FaultError(f"retry_after must not be below 0 seconds; it is {self.retry_after}")

    def _moments(self) -> tuple[Moment, ...]:
        moments = []
        if self.kind in _AT_CONNECT | _AT_CONNECT_AND_STREAM:
            moments.append(Moment.CONNECT)
        if self.kind not in _AT_CONNECT | {Kind.RETIRED}:
            moments.append(Moment.STREAM)
        if self.kind in _NOW:
            moments.append(Moment.NOW)
        return tuple(moments)

    def as_json(self) -> dict[str, Any]:
        assert self.moment is not None
        return {
            "service": self.service.value,
            "kind": self.kind.value,
            "times": self.times,
            "moment": self.moment.value,
            "retry_after": self.retry_after,
        }


def parse(data: Any) -> Fault:
    """The fault that a JSON object describes. Raises FaultError."""
    if not isinstance(data, Mapping):
        raise FaultError('a fault is an object such as {"service": "chat", "kind": "hang"}')
    values = dict(data)
    unknown = values.keys() - {"service", "kind", "times", "moment", "retry_after"}
    if unknown:
        raise FaultError(f"a fault has no {', '.join(sorted(unknown))}")
    try:
        service, kind = values.pop("service"), values.pop("kind")
    except KeyError as missing:
        raise FaultError(f"a fault needs {missing.args[0]}") from None
    values["service"] = _member(Service, service)
    values["kind"] = _member(Kind, kind)
    if values.get("moment") is not None:
        values["moment"] = _member(Moment, values["moment"])
    times, retry_after = values.get("times"), values.get("retry_after", 1.0)
    if not isinstance(times, int | None) or isinstance(times, bool):
        raise FaultError(f"times must be a whole number or null, not {times!r}")
    if not isinstance(retry_after, int | float) or isinstance(retry_after, bool):
        raise FaultError(f"retry_after must be seconds, not {retry_after!r}")
    return Fault(**values)


def _member(kind: type[Any], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(one.value for one in kind)
        raise FaultError(f"{value!r} is no {kind.__name__.lower()}; there are {names}") from None


class Faults:
    """What is wrong at present."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """*changed* is called after every change."""
        self._current: dict[Service, Fault] = {}
        self._left: dict[Service, int | None] = {}
        self._struck: dict[tuple[Service, Kind], int] = {}
        self._changed = changed

    def inject(self, fault: Fault) -> None:
        """From now on *fault* replaces its service's one. NOW faults do not stay."""
        assert fault.moment is not Moment.NOW, "whoever holds the connections does these"
        self._current[fault.service] = fault
        self._left[fault.service] = fault.times
        self._changed()

    def clear(self, service: Service | None = None) -> None:
        """Mend *service*, or all of them."""
        for one in Service if service is None else (service,):
            self._current.pop(one, None)
            self._left.pop(one, None)
        self._changed()

    def take(self, service: Service, moment: Moment) -> Fault | None:
        """The fault that strikes *service* now, if any; it is counted."""
        fault = self._current.get(service)
        if fault is None or fault.moment is not moment:
            return None
        self.count(fault)
        left = self._left[service]
        if left is not None:
            self._left[service] = left - 1
            if left == 1:
                self.clear(service)
        return fault

    def count(self, fault: Fault) -> None:
        """Note that *fault* struck once."""
        key = (fault.service, fault.kind)
        self._struck[key] = self._struck.get(key, 0) + 1

    def refused(self) -> set[Vendor]:
        """Those whose port is to be closed."""
        return {s.vendor for s, fault in self._current.items() if fault.kind is Kind.REFUSE}

    def current(self) -> list[Fault]:
        return list(self._current.values())

    def struck(self, service: Service, kind: Kind | None = None) -> int:
        """How often *service* was struck by *kind*, or by anything, since the start."""
        return sum(
            count
            for (one, what), count in self._struck.items()
            if one is service and kind in (None, what)
        )
