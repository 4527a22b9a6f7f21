"""Whole calls while the clouds that listen and speak fail: in every way, at every moment of a turn.
The call goes on, the caller hears something within two seconds, the fault is counted; a caller who
interrupts leaves nothing behind. (The model's faults are in test_calls.)

Sockets, kits, sessions and the emulator are real; the clock jumps over waiting, so that a busy
machine changes nothing: the seconds are those of the audio that the caller hears.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.calls import SOON, SPOKEN, Call
from tests.cloud.conftest import Stand, Story
from tests.support.call_stage import speech_of
from voicebot.audio import pcm
from voicebot.emulator.faults import Fault, Kind, Moment, Service
from voicebot.emulator.latency import Profile

ImagineAll = Callable[..., None]
PROBLEM = "Bonjour, ma box ne marche plus."
PRICE = "Quel est le prix de l'abonnement ?"
ANSWER = ["Je ne connais pas les tarifs.", "Un technicien pourra vous répondre."]
"""What the emulated model answers to it: sentences that have to be synthesised."""
AGAIN = speech_of("Je vous écoute, quel est votre problème ?")
"""How the bot's turn ends after it: its question, from the prompts."""
REAL_TIME = Profile(speech_times_real_time=1.0)

CONNECT, STREAM, NOW = Moment.CONNECT, Moment.STREAM, Moment.NOW
ERROR, TIMEOUT, UNSEEN = "error", "timeout", "ok"

AT_CONNECT = {
    Kind.REFUSE: ERROR, Kind.UNAUTHORIZED: ERROR, Kind.FORBIDDEN: ERROR, Kind.RATE_LIMITED: ERROR,
    Kind.SERVER_ERROR: ERROR, Kind.RETIRED: ERROR, Kind.HANG: TIMEOUT, Kind.DROP: ERROR,
}  # fmt: skip
AT_ANY_INSTANT = {Kind.HANG: TIMEOUT, Kind.DROP: ERROR, Kind.SERVER_ERROR: ERROR}
IN_RESULTS = {
    **AT_ANY_INSTANT, Kind.SLOW: TIMEOUT, Kind.MALFORMED: TIMEOUT, Kind.EMPTY: TIMEOUT,
    Kind.UNKNOWN: UNSEEN,
}  # fmt: skip
IN_AUDIO = {
    **AT_ANY_INSTANT, Kind.SLOW: TIMEOUT, Kind.EMPTY: ERROR, Kind.SILENCE: ERROR,
    Kind.ODD: UNSEEN, Kind.HALF: UNSEEN, Kind.MALFORMED: UNSEEN,
}  # fmt: skip
"""Half a sentence, or noise, cannot be told from a sentence by whoever plays it."""

VOICES = {
    "openai": Service.SPEECH, "openai_realtime": Service.REALTIME, "deepgram": Service.SPEAK,
}  # fmt: skip
EARS = ["nova-3", "flux-general-multi"]


def share(audio: bytes, part: float) -> tuple[bytes, bytes]:
    """The first *part* (0 to 1) of *audio*, and the rest."""
    cut = round(part * len(audio)) // pcm.FRAME_BYTES * pcm.FRAME_BYTES
    return audio[:cut], audio[cut:]


async def begun(stand: Stand) -> Call:
    """A call whose greeting has just begun; the caller will speak into it."""
    call = Call(stand)
    await call.stage.start()
    await call.stage.listen(0.3)
    return call


async def goes_on(call: Call) -> None:
    """The fault is mended; what the caller says is heard and answered."""
    await call.stand.emulator.mend()
    assert await call.say(PROBLEM) < SOON
    assert call.stage.session.state == "identification"
    await call.hang_up()


# -- the recogniser


def ears_fail(kind: Kind, moment: Moment, outcome: str, at: float) -> Story:
    """It breaks at the share *at* of what the caller says; below 0, it never came up."""

    async def told(stand: Stand) -> None:
        fault = Fault(Service.LISTEN, kind, moment=moment, retry_after=30)
        if at < 0:
            await stand.emulator.inject(fault)
        call = await begun(stand)
        before, after = share(SPOKEN[PRICE], max(at, 0.0))
        await call.speak(before)
        if at >= 0:
            await stand.emulator.inject(fault)
        await call.speak(after)
        took = await call.until_heard()
        await call.heard_out(SOON)
        assert took < SOON
        assert stand.errors == []
        assert stand.requests("stt", "deepgram", outcome) >= 1
        await goes_on(call)

    return told


def test_the_recogniser_cannot_be_reached(imagine_all: ImagineAll) -> None:
    imagine_all(
        {str(kind): ears_fail(kind, CONNECT, counted, -1) for kind, counted in AT_CONNECT.items()}
    )


@pytest.mark.parametrize("model", EARS)
def test_the_recogniser_breaks_while_the_caller_speaks(imagine_all: ImagineAll, model: str) -> None:
    stories = {
        f"{kind} at {at}": ears_fail(kind, NOW, counted, at)
        for kind, counted in AT_ANY_INSTANT.items()
        for at in (0.0, 0.5, 1.0)
    }
    stories |= {
        f"{kind} in results": ears_fail(kind, STREAM, counted, 0.5)
        for kind, counted in IN_RESULTS.items()
    }
    imagine_all(stories, DEEPGRAM_MODEL=model)


# -- the voice


def voice_fails(name: str, kind: Kind, moment: Moment, outcome: str) -> Story:
    """It is broken when a sentence is wanted; at NOW it breaks when the caller hears it."""

    async def told(stand: Stand) -> None:
        service = VOICES[name]
        fault = Fault(service, kind, moment=moment, retry_after=30)
        if moment is NOW:
            stand.emulator.latency.profile = REAL_TIME
        call = await begun(stand)
        await call.speak(SPOKEN[PRICE])
        if moment is not NOW:
            await stand.emulator.inject(fault)
        took = await call.until_heard()
        if moment is NOW:
            assert stand.emulator.open_exchanges(service), "it is speaking"
            await stand.emulator.inject(fault)
        await call.heard_out(SOON)
        assert took < SOON
        assert call.heard.endswith(AGAIN), "the rest of the utterance is heard"
        assert stand.requests("tts", name, outcome) >= 1
        if moment is CONNECT:
            assert sorted(stand.local_voice.said) == ANSWER, "another voice says it"
        await goes_on(call)

    return told


@pytest.mark.parametrize("name", VOICES)
def test_the_voice_cannot_be_reached(imagine_all: ImagineAll, name: str) -> None:
    imagine_all(
        {str(kind): voice_fails(name, kind, CONNECT, said) for kind, said in AT_CONNECT.items()},
        TTS_CHAIN=f"{name},local",
    )


@pytest.mark.parametrize("name", VOICES)
def test_the_voice_breaks_in_a_sentence(imagine_all: ImagineAll, name: str) -> None:
    kinds = dict(IN_AUDIO)
    if name == "openai_realtime":
        kinds |= {Kind.UNKNOWN: UNSEEN, Kind.REWORDED: ERROR, Kind.MALFORMED: ERROR}
    stories = {f"{kind}": voice_fails(name, kind, STREAM, said) for kind, said in kinds.items()}
    stories |= {
        f"{kind} while it is heard": voice_fails(name, kind, NOW, said)
        for kind, said in {**AT_ANY_INSTANT, Kind.SLOW: TIMEOUT}.items()
    }
    imagine_all(stories, TTS_CHAIN=f"{name},local")


# -- interruptions


def interrupted(service: Service, kind: Kind, moment: Moment) -> Story:
    """The caller speaks over a sentence, or the wait for it, while *service* is failing: it falls
    silent, nothing of the sentence is heard later, and nobody goes on working on it."""

    async def told(stand: Stand) -> None:
        stand.emulator.latency.profile = REAL_TIME
        fault = Fault(service, kind, moment=moment, retry_after=30)
        listening = service is Service.LISTEN
        call = await begun(stand)
        if not listening:
            await stand.emulator.inject(fault)
        await call.speak(SPOKEN[PRICE])
        await call.listen_for(lambda: bool(call.stage.events("caller_said")), "the turn is over")
        if listening:
            await stand.emulator.inject(fault)
        over, rest = share(SPOKEN[PROBLEM], 0.5)
        await call.speak(over)
        assert call.stage.heard[-1] is None, "late audio"
        heard = len(call.stage.heard)
        await call.speak(rest)
        assert not any(call.stage.heard[heard:]), "late audio"
        assert await call.until_heard() < SOON
        await call.heard_out(SOON)
        if not listening:
            assert call.idle(service), "somebody still works on what nobody will hear"
        await call.hang_up()

    return told


@pytest.mark.parametrize("name", VOICES)
def test_an_interruption_of_a_voice_that_fails_leaves_nothing(
    imagine_all: ImagineAll, name: str
) -> None:
    stories = {f"{kind}": interrupted(VOICES[name], kind, CONNECT) for kind in AT_CONNECT}
    stories |= {f"{kind} in audio": interrupted(VOICES[name], kind, STREAM) for kind in IN_AUDIO}
    imagine_all(stories, TTS_CHAIN=f"{name},local", LLM_SPECULATIONS_PER_TURN="0")


@pytest.mark.parametrize("model", EARS)
def test_an_interruption_while_the_recogniser_fails_leaves_nothing(
    imagine_all: ImagineAll, model: str
) -> None:
    stories = {f"{kind}": interrupted(Service.LISTEN, kind, NOW) for kind in AT_ANY_INSTANT}
    stories |= {
        f"{kind} in results": interrupted(Service.LISTEN, kind, STREAM) for kind in IN_RESULTS
    }
    imagine_all(stories, DEEPGRAM_MODEL=model, TTS_CHAIN="openai,local")


# -- everything at once


def all_fail(kind: Kind) -> Story:
    """Every cloud is struck, in the middle of a question."""

    async def told(stand: Stand) -> None:
        call = await begun(stand)
        before, after = share(SPOKEN[PRICE], 0.5)
        await call.speak(before)
        for service in Service:
            if kind in AT_ANY_INSTANT:
                await stand.emulator.inject(Fault(service, kind, moment=NOW))
            await stand.emulator.inject(Fault(service, kind, moment=CONNECT, retry_after=30))
        await call.speak(after)
        assert await call.until_heard() < SOON
        await call.heard_out(SOON)
        assert await call.say(PRICE) < SOON, "nor is the next turn slower"
        await call.heard_out(SOON)
        assert call.heard.endswith(AGAIN), "twice is not too often"
        assert call.stage.memory is None
        await call.hang_up()

    return told


def test_all_clouds_fail_together(imagine_all: ImagineAll) -> None:
    imagine_all({str(kind): all_fail(kind) for kind in AT_CONNECT})
