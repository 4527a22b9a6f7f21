"""What `voicebot probe` prints."""

from __future__ import annotations

import uuid

from voicebot.probe import report
from voicebot.probe.call import Result, Way
from voicebot.probe.caller import Timeline
from voicebot.simulator.leg import End
from voicebot.simulator.tape import Tape


def told(
    timeline: Timeline,
    failed: str | None = None,
    *events: dict[str, object],
    through_asterisk: bool = True,
) -> list[str]:
    result = Result(
        uuid.UUID(int=1),
        Way("127.0.0.1", 5060, through_asterisk),
        timeline,
        Tape(0.0),
        End.BOT,
        "",
        failed,
        events,
    )
    return [line.strip() for line in report.text(result, "Au revoir.").splitlines()]


def test_what_comes_at_once_is_in_the_order_in_which_it_was_told() -> None:
    timeline = Timeline(0.0, answered=0.0, greeting=0.1, spoke=7.0, said=8.0, reply=9.0, ended=12.0)
    lines = told(
        timeline,
        None,
        {"event": "caller_said", "text": "Au revoir.", "t": 8.9},
        {"event": "state", "state": "goodbye", "t": 8.901},
        {"event": "bot_said", "text": "Merci.", "t": 8.9001},
    )
    assert [line.partition("voicebot: ")[2] for line in lines if "voicebot: " in line] == [
        "understood: Au revoir.",
        "state goodbye",
        "says: Merci.",
    ]


def test_a_line_that_is_hung_up_unheard_is_not_said_to_be_ended_by_the_bot() -> None:
    """Asterisk, which did not reach it, ended it."""
    lines = told(Timeline(0.0, answered=0.0, ended=0.01), "greeting")
    assert "0.01 s  the call is over, ended by the other side, before the bot was heard" in lines


def test_without_asterisk_nobody_is_sent_to_look_at_it() -> None:
    through = " ".join(told(Timeline(0.0), "connect"))
    direct = " ".join(told(Timeline(0.0), "connect", through_asterisk=False))
    assert "systemctl status asterisk" in through
    assert "systemctl status voicebot" in direct
    assert "asterisk -rx" not in direct
