"""What Flux guesses to be the end of a turn is thought about at once: before our own pause, and
before anything is certain."""

from __future__ import annotations

from collections.abc import Callable

from tests.cloud.calls import SPOKEN, Call
from tests.cloud.conftest import Stand
from tests.support.call_stage import LoudnessVad
from tests.support.waiting import until
from voicebot.audio import pcm
from voicebot.emulator.faults import Service
from voicebot.emulator.latency import Distribution, Profile

ImagineAll = Callable[..., None]
PRICE = "Quel est le prix de l'abonnement ?"
FLUX = {"DEEPGRAM_MODEL": "flux-general-multi"}
SLOW_MODEL = Profile(chat_first_token=Distribution(60.0))


class NoisyLine(LoudnessVad):
    """The caller's street is as loud as they are: our VAD hears no pause until it is *quiet*."""

    def __init__(self) -> None:
        self.quiet = False

    def judge(self, window: bytes) -> float:
        return super().judge(window) if self.quiet else 1.0


async def guessed(stand: Stand) -> tuple[Call, NoisyLine]:
    """A free question has been asked, Flux takes it for the whole turn, we do not know yet."""
    line = NoisyLine()
    line.quiet = True
    call = Call(stand, line)
    await call.start()
    line.quiet = False
    await call.speak(SPOKEN[PRICE])
    await call.listen_for(lambda: bool(asked(stand)), "the model is asked")
    assert stand.requests("stt", "deepgram", "ok") == 0, "no words of a pause have come"
    assert call.stage.events("caller_said") == [], "nor is the turn over"
    return call, line


def asked(stand: Stand) -> list[str]:
    """What the model was asked, each time."""
    chats = [r.body for r in stand.emulator.records.requests if r.service is Service.CHAT]
    return [str(body["messages"][-1]["content"]) for body in chats]


def test_what_was_guessed_is_used_when_the_turn_ends_so(imagine_all: ImagineAll) -> None:
    async def story(stand: Stand) -> None:
        call, line = await guessed(stand)
        line.quiet = True
        await call.until_heard()
        assert "Je ne connais pas les tarifs." in await call.hear()
        assert len(asked(stand)) == 1, "once"
        assert call.count("llm_speculations_total", fate="used") == 1
        assert call.count("llm_speculations_total", fate="dropped") == 0
        await call.hang_up()

    imagine_all({"": story}, **FLUX)


def test_what_was_guessed_is_dropped_when_the_caller_goes_on(imagine_all: ImagineAll) -> None:
    async def story(stand: Stand) -> None:
        stand.emulator.latency.profile = SLOW_MODEL
        call, line = await guessed(stand)
        assert stand.emulator.open_exchanges(Service.CHAT)
        rest = SPOKEN["La télé est toute noire."]
        half = len(rest) // 2 // pcm.FRAME_BYTES * pcm.FRAME_BYTES
        await call.speak(rest[:half])  # no breath in it, after which there would be other words
        assert call.count("llm_speculations_total", fate="dropped") == 1
        await until(lambda: not stand.emulator.open_exchanges(Service.CHAT), 5, "it is let go")
        await call.speak(rest[half:])
        assert call.stage.heard[-1] is None, "nothing of it is said"
        line.quiet = True
        await call.until_heard()
        (said,) = call.stage.events("caller_said")
        assert "toute noire" in str(said["text"])
        assert "prix de l'abonnement" in str(said["text"]), "both halves are one turn"
        await call.hang_up()

    imagine_all({"": story}, **FLUX)
