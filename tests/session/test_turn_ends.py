"""Whoever sounds finished is answered sooner, in virtual time; and what it costs who was not."""

from __future__ import annotations

import pytest

from tests.support import virtual_time
from tests.support.call_stage import CallStage, ScriptedStt
from tests.support.told_ends import Answer, told
from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_SECONDS
from voicebot.workers.pool import WorkerError

OPEN = "Alors voilà, euh."
PROBLEM = "J'ai un problème avec mon internet."
FREE = "Combien de temps ça prend ?"
WORDS_AFTER = 0.25
"""Seconds from the last sound to the words: what Deepgram takes."""
HANGOVER = 0.16
LATE = 0.06
"""Frames, and the moment in which the pause is noticed."""


def stage(texts: list[object], *answers: Answer, delay: float = 0.05) -> CallStage:
    return CallStage(
        ScriptedStt(texts, delay=WORDS_AFTER - HANGOVER), turn_ends=told(*answers, delay=delay)
    )


async def waited(call: CallStage, seconds: float = 1.0) -> float:
    """Speak; seconds from the last sound to the bot's first one."""
    await call.listen_until_silent()
    await call.say(seconds)
    began = call.loop.time()
    for _ in range(500):
        await call.slots(1)
        if call.heard[-1] is not None:
            return call.loop.time() - began
    raise AssertionError("nothing was heard")


def judged(call: CallStage, outcome: str) -> float:
    return call.metric("voicebot_turn_end_judgements_total", outcome=outcome)


@pytest.mark.parametrize(
    ("answers", "wait", "outcomes"),
    [
        ([0.9], 0.25, {"finished": 1}),
        ([0.1], 0.65, {"unfinished": 2}),
        ([0.1, 0.9], 0.35, {"unfinished": 1, "finished": 1}),
        ([None], 0.65, {"late": 1}),
        ([WorkerError("twice")], 0.65, {"failed": 1}),
    ],
)
def test_a_turn_that_may_be_all_ends_when_it_sounds_finished(
    answers: list[Answer], wait: float, outcomes: dict[str, float]
) -> None:
    """By the second look, too; and whatever fails costs nothing but what there was to gain."""

    async def story() -> None:
        call = stage([OPEN], *answers)
        await call.start()
        assert await waited(call) == pytest.approx(wait + LATE, abs=LATE)
        for outcome in ("finished", "unfinished", "late", "failed"):
            assert judged(call, outcome) == outcomes.get(outcome, 0), outcome
        await call.hang_up()

    virtual_time.run(story())


def test_half_a_number_is_waited_for_however_finished_it_sounds() -> None:
    async def story() -> None:
        call = stage([PROBLEM, "06 12 34"], 1.0)
        await call.start()
        await waited(call)
        assert await waited(call) == pytest.approx(1.3 + LATE, abs=LATE)
        await call.hang_up()

    virtual_time.run(story())


def test_it_listens_to_the_turn_so_far_and_no_more_than_eight_seconds() -> None:
    async def story() -> None:
        call = stage([OPEN], 0.9)
        ends = call.session._services.turn_ends
        await call.start()
        await waited(call)
        await waited(call, 20.0)
        first, *_, last = map(len, ends.asked)  # type: ignore[union-attr]
        assert 1.1 <= first / BYTES_PER_SECOND <= 1.7
        assert last / BYTES_PER_SECOND == 8.0
        await call.hang_up()

    virtual_time.run(story())


def test_who_goes_on_at_once_is_not_cut_short() -> None:
    """Speech within the wait: the answer to the pause before is of no account."""

    async def story() -> None:
        call = stage([OPEN, PROBLEM], 0.9, delay=0.2)
        await call.start()
        await call.listen_until_silent()
        await call.say(0.6)
        await call.listen(0.24)
        await call.say(0.6)
        await call.listen(1.0)
        (said,) = call.events("caller_said")
        assert said["text"] == PROBLEM, "one turn, of which the last words count"
        assert judged(call, "late") == 1
        await call.hang_up()

    virtual_time.run(story())


def test_what_is_added_after_an_early_end_interrupts_and_the_call_goes_on() -> None:
    """A problem, a breath that sounds like the end, and one thing more. The bot has begun its next
    question: it stops, and goes on when it has heard."""

    async def story() -> None:
        call = stage([PROBLEM, "Depuis hier soir.", "Pierre Dupont, 06 12 34 56 78."], 0.9)
        await call.start()
        took = await waited(call)
        assert took <= 0.25 + 2 * LATE
        await call.listen(0.3)
        before = len(call.heard)
        await call.say(1.0)
        spoken_over = sum(frame is not None for frame in call.heard[before:]) * FRAME_SECONDS
        assert spoken_over < 0.3, "the bot stops"
        await call.listen(2.5)
        await call.listen_until_silent()
        *_, again = call.events("bot_said")
        assert "votre nom et votre numéro" in str(again["text"])
        await waited(call)
        await call.listen_until_silent()
        *_, confirmed = call.events("bot_said")
        assert "Vous êtes Pierre Dupont" in str(confirmed["text"]), "and not Depuis Hier Soir"
        assert call.session._machine.slots.problem == "internet"
        await call.hang_up()

    virtual_time.run(story())


def test_a_call_leaves_nothing_behind_that_listens() -> None:
    async def story() -> None:
        call = stage([OPEN], None)
        await call.start()
        await call.listen_until_silent()
        await call.say(1.0)
        await call.listen(0.3)
        await call.hang_up()
        await call.slots(1)
        assert judged(call, "late") == 1

    virtual_time.run(story())
