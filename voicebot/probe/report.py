"""What a probe call was like, for a person: its timeline, and where to look if it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from voicebot.probe.call import Result
from voicebot.simulator.leg import End

_CAUSES: Final[Mapping[str, tuple[str, str]]] = {
    "connect": (
        "Asterisk is not running, or not at PROBE_SIP_ADDRESS: systemctl status asterisk, "
        "asterisk -rx 'pjsip show transports'",
        "its configuration knows no probe: install probe.conf and voicebot.conf of asterisk/, "
        "then asterisk -rx 'module reload res_pjsip.so' and 'dialplan reload'",
    ),
    "greeting": (
        "the voicebot takes no call (down, starting, draining): voicebot doctor, "
        "curl http://127.0.0.1:9080/readyz; callers reach a technician meanwhile",
        "the audio does not come back: asterisk -rx 'rtp set debug on' and the firewall on "
        "the ports of voicebot.d/rtp.conf",
    ),
    "reply": (
        "nothing is recognised: journalctl -u voicebot -o cat | grep 'provider failed'; "
        "voicebot doctor --live tries the clouds",
        "the machine cannot keep up: dashboard Host, 'Jobs that wait' and each core's load",
    ),
    "goodbye": (
        "the words were not understood: the script's goodbye does not know what the probe says; "
        "give it a recording with PROBE_SPEECH",
        "the voicebot gave the call to a person: voicebot calls {call_id} shows why",
    ),
}
"""The two likeliest causes for each step."""
_DIRECT: Final = (
    "the voicebot is not running: systemctl status voicebot, journalctl -u voicebot -n 30",
    "it listens elsewhere: AUDIOSOCKET_HOST and AUDIOSOCKET_PORT in voicebot settings",
)
"""Those of ``connect`` where Asterisk is left out."""


def verdict(result: Result) -> str:
    """One line."""
    timeline = result.timeline
    if result.failed is not None:
        fault = f": {result.fault}" if result.fault else ""
        return f"failed at {result.failed}{fault}"
    return (
        f"ok: greeted after {timeline.first_audio:.2f} s, answered after {timeline.response:.2f} s"
    )


def text(result: Result, said: str) -> str:
    """Everything, several lines. What came at once stays in the order in which it was told."""
    lines = [f"Probe call {result.call_id} ({result.way.text})", ""]
    moments = sorted(_moments(result, said), key=lambda moment: round(moment[0], 2))
    lines += [f"{at:7.2f} s  {what}" for at, what in moments]
    lines += ["", verdict(result)]
    if result.failed is not None:
        direct = result.failed == "connect" and not result.way.through_asterisk
        named = _DIRECT if direct else _CAUSES[result.failed]
        causes = [cause.format(call_id=result.call_id) for cause in named]
        lines += ["Likely causes:", *(f"  {n}. {cause}" for n, cause in enumerate(causes, 1))]
    return "\n".join(lines)


def as_dict(result: Result) -> dict[str, Any]:
    """For ``--json``. Seconds from dialling."""
    timeline = result.timeline
    marks = ("answered", "greeting", "spoke", "said", "reply", "ended")
    since = {
        mark: None if (at := getattr(timeline, mark)) is None else round(at - timeline.dialled, 3)
        for mark in marks
    }
    return {
        "call_id": str(result.call_id),
        "ok": result.failed is None,
        "failed": result.failed,
        "fault": result.fault or None,
        "first_audio_s": _rounded(timeline.first_audio),
        "response_s": _rounded(timeline.response),
        "timeline": since,
        "events": list(result.events),
    }


def _moments(result: Result, said: str) -> Iterator[tuple[float, str]]:
    timeline = result.timeline
    response = "" if timeline.response is None else f", {timeline.response:.2f} s after that"
    ender = result.end.value
    if result.end is End.BOT and timeline.greeting is None:
        ender = "other side, before the bot was heard"
    whole = {
        "answered": "answered",
        "greeting": "the greeting begins",
        "spoke": f"it is over; the probe says: {said}",
        "said": "the probe has said it",
        "reply": f"the answer begins{response}",
        "ended": f"the call is over, ended by the {ender}",
    }
    for mark, what in whole.items():
        at = getattr(timeline, mark)
        if at is not None:
            yield at - timeline.dialled, what
    if timeline.answered is not None:
        offset = timeline.answered - timeline.dialled
        for event in result.events:
            if event["event"] != "ended":
                yield offset + event["t"], f"    voicebot: {_told(event)}"


def _told(event: Mapping[str, Any]) -> str:
    match event["event"]:
        case "caller_said":
            return f"understood: {event['text']}"
        case "bot_said":
            return f"says: {event['text']}"
        case "state":
            return f"state {event['state']}"
    return str(event["event"]).replace("_", " ")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
