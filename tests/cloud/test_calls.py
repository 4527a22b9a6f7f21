"""Calls over the vendors' own kits and the emulator: the real session, the real dialogue, recorded
callers. In real time, what is asked freely is answered by the model; on a clock that jumps,
whatever the model's service does, the call goes on and the caller hears something within two
seconds. (The faults of those that listen and speak are in test_call_faults.)"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tests.cloud.calls import SOON, SPOKEN, Call
from tests.cloud.conftest import Stand, Story
from tests.support.waiting import until
from voicebot.audio import pcm
from voicebot.dialogue.reply import CHARACTERS_PER_SECOND
from voicebot.emulator import chat
from voicebot.emulator.brain import Reply
from voicebot.emulator.exchange import SLOW_SECONDS
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Profile
from voicebot.emulator.latency_file import PUBLISHED, load
from voicebot.speech.clouds import BEHIND

PlayAll = Callable[..., None]
PRICE = "Quel est le prix de l'abonnement ?"


async def asks_freely(stand: Stand) -> None:
    """A free question is answered by the model, and the call goes on."""
    stand.emulator.latency.profile = load(PUBLISHED)
    call = Call(stand)
    await call.start()
    await call.say("Bonjour, ma box ne marche plus.")
    assert "votre nom" in await call.hear()
    await call.say(PRICE)
    heard = await call.hear()
    assert "Je ne connais pas les tarifs." in heard
    assert heard.endswith("Puis-je avoir votre nom et votre numéro de téléphone ?")
    await call.say("Pierre Dupont.")
    assert "numéro" in await call.hear()
    await call.hang_up()
    asked = [r.body for r in stand.emulator.records.requests if r.service is Service.CHAT]
    told = asked[-1]["messages"]
    assert told[-1] == {"role": "user", "content": PRICE}
    assert told[-3]["content"].startswith("Très bien"), "what was heard"
    assert call.count("llm_replies_total", outcome="answered") == 1
    assert call.count("llm_speculations_total", fate="used") == 1


async def fails_thrice(stand: Stand) -> None:
    """The third failure in a row hands the caller to a person."""
    call = Call(stand)
    await call.start()
    await call.say("Bonjour, ma box ne marche plus.")
    await call.hear()
    await stand.emulator.inject(Fault(Service.CHAT, Kind.SERVER_ERROR))
    for words in ("Pardon", "Tapez"):
        assert await call.say(PRICE) < SOON
        assert words in await call.hear()
    assert await call.say(PRICE) < SOON
    assert "problème technique" in await call.hear()
    await call.stage.session.released()
    assert call.stage.memory is not None
    assert call.stage.memory.outcome == "failed"


async def all_clouds_hang(stand: Stand) -> None:
    """The caller hears something soon all the same."""
    call = Call(stand)
    await call.start()
    for service in (Service.LISTEN, Service.CHAT, Service.SPEECH, Service.SPEAK):
        await stand.emulator.inject(Fault(service, Kind.HANG))
    for _ in range(2):
        assert await call.say(PRICE) < SOON
        await call.hear()
    await call.hang_up()


def is_interrupted(kind: Kind | None) -> Story:
    """The caller speaks over the model's answer, or over the wait for it: nothing is left of it."""

    async def told(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [
            Reply(content='{"intent": "question"}\n' + "Cela dépend de votre abonnement. " * 4)
        ]
        stand.emulator.latency.profile = Profile(chat_tokens_per_second=40)
        call = Call(stand)
        await call.start()
        if kind is not None:
            await stand.emulator.inject(Fault(Service.CHAT, kind))
        await call.say(PRICE)
        await call.stage.listen(0.2)
        line = SPOKEN["Bonjour, ma box ne marche plus."]
        half = len(line) // 2 - len(line) // 2 % pcm.FRAME_BYTES
        await call.speak(line[:half])
        assert call.stage.heard[-1] is None, "late audio"
        assert not stand.emulator.open_exchanges(Service.CHAT), "it is still being asked"
        await call.speak(line[half:])
        await call.until_heard()
        assert call.stage.session.state == "identification"
        await call.hang_up()

    return told


def test_calls_over_the_clouds(play_all: PlayAll) -> None:
    play_all(
        {
            "asks freely": asks_freely,
            "fails thrice": fails_thrice,
            "all clouds hang": all_clouds_hang,
            **{
                f"interrupts, {kind}": is_interrupted(kind) for kind in (None, Kind.HANG, Kind.SLOW)
            },
        }
    )


# -- the model's service fails, in every way, at every moment

FAULTS = [
    (Kind.REFUSE, None, "error"),
    (Kind.UNAUTHORIZED, None, "error"),
    (Kind.FORBIDDEN, None, "error"),
    (Kind.RATE_LIMITED, None, "error"),
    (Kind.SERVER_ERROR, Moment.CONNECT, "error"),
    (Kind.RETIRED, None, "error"),
    (Kind.HANG, Moment.CONNECT, "timeout"),
    (Kind.DROP, Moment.CONNECT, "error"),
    (Kind.HANG, Moment.STREAM, "timeout"),
    (Kind.DROP, Moment.STREAM, "error"),
    (Kind.SERVER_ERROR, Moment.STREAM, "error"),
    (Kind.SLOW, None, "timeout"),
    (Kind.MALFORMED, None, "error"),
    (Kind.UNKNOWN, None, "ok"),
    (Kind.EMPTY, None, "error"),
    (Kind.UNFIT, None, "ok"),
]


def finds_it_broken(kind: Kind, moment: Moment | None, outcome: str) -> Story:
    """The fault is there when the caller speaks."""

    async def told(stand: Stand) -> None:
        call = Call(stand)
        await call.start()
        await stand.emulator.inject(Fault(Service.CHAT, kind, moment=moment, retry_after=30))
        assert await call.say(PRICE) < SOON
        assert await call.hear()
        assert stand.requests("llm", "groq", outcome) >= 1
        await stand.emulator.mend()
        await call.say("Pierre Dupont.")
        assert "numéro" in await call.hear()
        await call.hang_up()

    return told


def breaks_off(kind: Kind, after: float) -> Story:
    """The fault strikes *after* so many seconds of the request, or of the reply."""

    async def told(stand: Stand) -> None:
        stand.emulator.latency.profile = Profile(chat_tokens_per_second=20)
        call = Call(stand)
        await call.start()

        async def strike() -> None:
            await until(lambda: bool(stand.emulator.open_exchanges(Service.CHAT)), 20, "asked")
            await asyncio.sleep(after)
            await stand.emulator.inject(Fault(Service.CHAT, kind, moment=Moment.NOW))

        striking = asyncio.create_task(strike())
        assert await call.say(PRICE) < SOON
        await call.heard_out(SOON)
        await striking
        await call.say("Oui, c'est ça.")
        assert "nom" in await call.hear()
        await call.hang_up()

    return told


# -- the model begins well, and goes on badly

HEAD = '{"intent": "question"}\n'
FIRST = "Cela dépend de votre abonnement."
SECOND = "Un technicien vous dira le prix exact de chaque option, et ce que vous y gagnez."
OTHER = "Je ne connais pas les tarifs."
REPLY = f"{HEAD}{FIRST} {SECOND}"
TOKENS = 40
"""A second, of a model that is well: the head takes 0.2 s, the first sentence as long again."""


def comes(event: int, kind: Kind, after: int) -> float:
    """Seconds until the *event* of a reply has come, if *kind* strikes *after* so many."""
    if event <= after:
        return event / TOKENS
    late = SLOW_SECONDS * (event - after) if kind is Kind.SLOW else math.inf
    return (after + 1) / TOKENS + late


def goes_on_badly(kind: Kind, after: int) -> Story:
    """The first model stops, or drips, *after* so many events; the other one is well."""

    async def told(stand: Stand) -> None:
        replies = [REPLY, f"{HEAD}{OTHER}"]
        stand.emulator.brain.scripted[:] = [Reply(content=text, times=1) for text in replies]
        stand.emulator.latency.profile = Profile(chat_tokens_per_second=TOKENS)
        call = Call(stand)
        await call.start()

        async def strike() -> None:
            await until(lambda: bool(stand.emulator.open_exchanges(Service.CHAT)), 20, "asked")
            await asyncio.sleep((after + 0.5) / TOKENS)
            await stand.emulator.inject(Fault(Service.CHAT, kind, moment=Moment.NOW))

        striking = asyncio.create_task(strike())
        assert await call.say(PRICE) < SOON
        await striking
        await call.heard_out(SOON)
        said = " ".join(str(event["text"]) for event in call.stage.events("bot_said"))
        assert said.endswith("Je vous écoute, quel est votre problème ?"), "and nothing is owed"
        # The role comes before the tokens; after them the usage, and the mark of the end.
        first = comes(len(chat.tokens(f"{HEAD}{FIRST} U")), kind, after)
        whole = comes(len(chat.tokens(REPLY)) + 2, kind, after)
        begun, ended = first < 1.0, whole < first + len(FIRST) / CHARACTERS_PER_SECOND + BEHIND
        assert (FIRST in said, OTHER in said) == (begun, not begun), "one answer"
        assert (SECOND in said) == (begun and ended), "unless it would come too late"
        counted = "ok" if ended else "error" if kind is Kind.DROP else "timeout"
        assert stand.requests("llm", "groq", counted) == 1
        assert await call.say("Bonjour, ma box ne marche plus.") < SOON
        asked = [r.body for r in stand.emulator.records.requests if r.service is Service.CHAT]
        assert len(asked) == (1 if begun else 2)
        await call.hang_up()

    return told


def test_a_model_that_stops_or_drips_is_replaced_while_nothing_was_said_and_ended_after(
    imagine_all: PlayAll,
) -> None:
    kinds = (Kind.HANG, Kind.SLOW, Kind.DROP)
    imagine_all(
        {
            f"{kind} after {after} events": goes_on_badly(kind, after)
            for kind in kinds
            for after in range(0, len(chat.tokens(REPLY)), 2)
        }
    )


def drips_always(per_second: float) -> Story:
    """Every model, from its first token on: the rules answer, and then a person."""

    async def told(stand: Stand) -> None:
        stand.emulator.brain.scripted[:] = [Reply(content=REPLY)]
        stand.emulator.latency.profile = Profile(chat_tokens_per_second=per_second)
        call = Call(stand)
        await call.start()
        await call.say("Bonjour, ma box ne marche plus.")
        await call.hear()
        for words in ("Pardon", "Tapez", "problème technique"):
            assert await call.say(PRICE) < SOON
            await call.heard_out(SOON)
            said = " ".join(str(event["text"]) for event in call.stage.events("bot_said"))
            assert words in said
            assert FIRST not in said
        for model in ("groq", "groq_spare"):
            assert stand.requests("llm", model, "timeout") == 3
        await call.stage.session.released()

    return told


def test_models_that_drip_all_of_them_leave_it_to_the_rules(imagine_all: PlayAll) -> None:
    imagine_all({f"{speed} tokens/s": drips_always(speed) for speed in (0.7, 1.0, 4.0, 10.0)})


def test_whatever_the_model_does_the_caller_hears_something_soon_and_is_understood_after(
    imagine_all: PlayAll,
) -> None:
    kinds = (Kind.HANG, Kind.DROP, Kind.SERVER_ERROR)
    moments = [(kind, after) for kind in kinds for after in (0.1, 0.8)]
    imagine_all(
        {
            **{f"{fault}": finds_it_broken(*fault) for fault in FAULTS},
            **{f"{moment}": breaks_off(*moment) for moment in moments},
        }
    )
