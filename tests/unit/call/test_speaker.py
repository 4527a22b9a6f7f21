"""The bot's voice: utterances that grow while they play, and voices with bugs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from voicebot.audio.pcm import BYTES_PER_SECOND, FRAME_BYTES
from voicebot.call.speaker import KEPT_SECONDS, Speaker
from voicebot.dialogue.events import PlayoutEnded
from voicebot.providers.interfaces import ProviderError, Stage

FRAMES = 5
AUDIO = b"\1\0" * (FRAME_BYTES // 2) * FRAMES


class Voice:
    name, voice = "test", "test"

    def __init__(self, audio: bytes = AUDIO) -> None:
        self._audio = audio
        self.asked: list[str] = []

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        self.asked.append(text)
        await asyncio.sleep(0)
        if text == "Bug.":
            raise ZeroDivisionError
        if text == "Once." and self.asked.count(text) == 1:
            raise ProviderError(Stage.TTS, self.name, "broken", retryable=True)
        yield self._audio


class Listener:
    def __init__(self) -> None:
        self.ended: list[PlayoutEnded] = []
        self.failed: list[ProviderError] = []
        self.made: list[str] = []
        self.marks: list[str] = []

    def audio_ready(self) -> None:
        self.marks.append("ready")

    def audio_sent(self, utterance: int) -> None:
        self.marks.append("sent")

    def answer_sent(self) -> None:
        self.marks.append("answered")

    def prompt_looked_up(self, found: bool) -> None: ...

    def sentence_made(self, text: str) -> None:
        self.made.append(text)

    def utterance_ended(self, event: PlayoutEnded) -> None:
        self.ended.append(event)

    def speech_failed(self, error: ProviderError) -> None:
        self.failed.append(error)


def speaker() -> tuple[Speaker, Listener]:
    listener = Listener()
    return Speaker(Voice(), {"Rendered.": AUDIO}, listener), listener


async def play(bot: Speaker, frames: int = 4 * FRAMES) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    for _ in range(frames):
        bot.next_frame()


def test_an_open_utterance_ends_only_when_it_is_closed() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("One.",), more=True)
        await play(bot)
        assert bot.speaking
        bot.say_more(1, ("Two.", "Rendered."), last=False)
        await play(bot)
        assert not listener.ended
        bot.say_more(1, ("Four.",), last=True)
        await play(bot)
        assert listener.ended == [PlayoutEnded(1, "One. Two. Rendered. Four.")]

    asyncio.run(scene())


def test_closing_what_was_heard_already_ends_it_at_once() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Rendered.",), more=True)
        await play(bot)
        bot.say_more(1, (), last=True)
        assert listener.ended == [PlayoutEnded(1, "Rendered.")]

    asyncio.run(scene())


def test_a_sentence_added_in_mid_speech_follows_the_one_being_made() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("One.",), more=True)
        bot.say_more(1, ("Two.",), last=True)
        await play(bot)
        assert listener.ended == [PlayoutEnded(1, "One. Two.")]

    asyncio.run(scene())


def test_an_interruption_between_two_sentences_keeps_the_one_that_was_heard() -> None:
    async def scene() -> None:
        bot, _ = speaker()
        bot.say(1, ("One.",), more=True)
        await play(bot)
        stopped = bot.stop()
        assert stopped is not None
        assert (stopped.heard, stopped.unheard) == ("One.", ())
        bot.say_more(1, ("Late.",), last=True)  # nothing may come of it
        assert not bot.speaking

    asyncio.run(scene())


def test_a_filler_is_heard_but_is_no_answer() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Rendered.",), more=True, filler=1)
        await play(bot)
        assert listener.marks == ["sent"]
        bot.say_more(1, ("One.", "Two."), last=True)
        await play(bot)
        assert listener.marks == ["sent", "ready", "answered"]

    asyncio.run(scene())


def test_an_answer_that_waits_behind_a_filler_is_ready_before_it_is_heard() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Rendered.", "One."), filler=1)
        await play(bot, frames=FRAMES)
        assert listener.marks == ["ready", "sent"]
        bot.next_frame()
        assert listener.marks == ["ready", "sent", "answered"]

    asyncio.run(scene())


def test_without_a_filler_the_first_frame_is_the_answer() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Rendered.", "One."))
        await play(bot)
        assert listener.marks == ["ready", "sent", "answered"]

    asyncio.run(scene())


def test_what_could_not_be_said_is_tried_anew_the_next_time() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Once.",))
        await play(bot)
        bot.say(2, ("Once.",))
        await play(bot)
        assert listener.ended == [PlayoutEnded(1, ""), PlayoutEnded(2, "Once.")]

    asyncio.run(scene())


def test_who_is_stopped_for_a_failure_says_nothing_of_the_rest() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        listener.speech_failed = lambda error: bot.stop()  # type: ignore[method-assign]
        bot.say(1, ("Bug.", "Rendered."))
        await play(bot, frames=0)
        assert [bot.next_frame() for _ in range(2 * FRAMES)] == [None] * 2 * FRAMES

    asyncio.run(scene())


def test_what_is_being_said_is_not_forgotten() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.prepare(("One.",))
        bot.say(1, ("One.",))
        await asyncio.sleep(0)
        bot.forget(("One.",))
        await play(bot)
        assert listener.ended == [PlayoutEnded(1, "One.")]

    asyncio.run(scene())


def test_a_bug_in_a_voice_is_told_and_only_the_rest_is_said() -> None:
    async def scene() -> None:
        bot, listener = speaker()
        bot.say(1, ("Bug.", "One."))
        await play(bot)
        assert [error.provider for error in listener.failed] == ["test"]
        assert "bug" in str(listener.failed[0])
        assert listener.ended == [PlayoutEnded(1, "One.")]

        bot.say(2, ("Bug.", "Rendered."), more=True)
        await play(bot)
        stopped = bot.stop()
        assert stopped is not None
        assert stopped.heard == "Rendered."

    asyncio.run(scene())


def test_what_was_no_prompt_and_came_to_its_end_is_told_of() -> None:
    async def story() -> None:
        bot, told = speaker()
        bot.say(1, ("Rendered.", "Made.", "Bug."))
        await play(bot)
        assert told.made == ["Made."]
        await bot.close()

    asyncio.run(story())


def test_the_last_answers_are_kept_and_older_ones_made_again() -> None:
    third = bytes(round(KEPT_SECONDS / 3 * BYTES_PER_SECOND))

    async def story() -> None:
        voice = Voice(third)
        bot = Speaker(voice, {}, Listener())
        for number, text in enumerate(("One.", "Two.", "Three.", "One.", "Four.", "One.", "Two.")):
            bot.say(number, (text,))
            await play(bot, len(third) // FRAME_BYTES + 4)
        assert voice.asked == ["One.", "Two.", "Three.", "Four.", "Two."]
        await bot.close()

    asyncio.run(story())


def test_a_sentence_longer_than_what_is_kept_can_be_carried_on() -> None:
    async def story() -> None:
        voice = Voice(bytes(round(2 * KEPT_SECONDS * BYTES_PER_SECOND)))
        bot = Speaker(voice, {}, Listener())
        bot.say(1, ("One.",))
        await play(bot)
        bot.stop()
        bot.say(2, ("One.",))
        await play(bot)
        assert voice.asked == ["One."]
        await bot.close()

    asyncio.run(story())
