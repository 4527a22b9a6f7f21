"""What is asked of a language model, one request at a time, and what its reply leads to.

A request is *speculative* while the caller may still go on: its reply is read, and the sentence
that would be said is made, but nothing is decided. When the turn ends with the same words the
request is released; when the caller goes on it is dropped. A released reply acts as the rules do:
what it understood is a :class:`Meaning` like any other, and only the answer to a question of the
caller's is spoken in the model's own words, with the bot's question after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from voicebot.dialogue import briefing
from voicebot.dialogue.commands import AskModel, DropModel, Forget, Prepare, WaitLess
from voicebot.dialogue.heard_by_model import meaning_of
from voicebot.dialogue.history import Line, Speaker
from voicebot.dialogue.reply import Head, MisfitError, ModelIntent, ReplyReader
from voicebot.dialogue.words import tokens

if TYPE_CHECKING:
    from voicebot.dialogue.conversation import Conversation
    from voicebot.dialogue.slots import Limits
    from voicebot.dialogue.understanding import Meaning


class _Request:
    """One, from asking to the last word that matters."""

    def __init__(
        self, number: int, text: str, said: str, reader: ReplyReader, *, speculative: bool
    ) -> None:
        self.number = number
        self.text = text
        """The words at whose end it was asked."""
        self.said = said
        """All that the caller has said since the bot was heard."""
        self.reader = reader
        self.speculative = speculative
        """Nothing may come of it yet."""
        self.meaning: Meaning | None = None
        """What the rules made of it; set when it is released."""
        self.ended = False
        self.misfit: MisfitError | None = None
        self.spoken = 0
        self.prepared = 0
        self.sufficed = False
        """It can be answered, and that was told."""

    def asks(self, text: str) -> bool:
        """Whether *text* is the same words: a guess may lack a full stop or a capital."""
        return self.text == text or tokens(self.text) == tokens(text)


class Asker(Protocol):
    """Who is told what came of a request; *by_rules*: what the rules had made of the same words."""

    def understood(self, meaning: Meaning, by_rules: Meaning) -> None:
        """The caller meant *meaning*."""

    def not_understood(self, by_rules: Meaning) -> None:
        """The reply is of no use."""

    def not_answered(self, by_rules: Meaning) -> None:
        """There is no reply."""

    def say_free_answer(self, sentence: str, *, first: bool) -> None:
        """The caller asked something, and *sentence* answers it, or goes on with the answer."""

    def end_free_answer(self) -> None:
        """That was all of the answer."""


class Consultation:
    """Of one call. Where no model is told anything nothing is ever asked."""

    def __init__(self, talk: Conversation, asker: Asker, limits: Limits) -> None:
        self._talk = talk
        self._asker = asker
        self._limits = limits
        self._request: _Request | None = None
        self._numbers = 0
        self._speculated_turn = 0
        self._speculated_call = 0
        self._interrupted: tuple[str, Meaning] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the caller waits for what will be made of a reply."""
        request = self._request
        return request is not None and not request.speculative

    def can_answer(self, text: str) -> bool:
        """Whether a reply to *text* has begun, and makes something of it."""
        request = self._request
        if request is None or not request.asks(text) or request.misfit is not None:
            return False
        head = request.reader.head
        return head is not None and head.intent is not ModelIntent.UNCLEAR

    # ---- asking -----------------------------------------------------------------------------

    def speculate(self, text: str) -> None:
        """The caller has said *text*, and may go on."""
        request, limits = self._request, self._limits
        if request is not None and request.asks(text):
            return
        self.drop()
        if (
            self._speculated_turn >= limits.speculations_a_turn
            or self._speculated_call >= limits.speculations_a_call
        ):
            if limits.speculations_a_turn:
                self._talk.note("speculation", fate="capped")
            return
        self._speculated_turn += 1
        self._speculated_call += 1
        lines = (*self._talk.history.lines, Line(Speaker.CALLER, text))
        self._request = self._ask(text, lines, speculative=True)

    def ask(self, text: str, meaning: Meaning) -> None:
        """The turn is over with *text*, of which the rules made *meaning*: what is it?"""
        self._interrupted = None
        self._speculated_turn = 0
        request = self._request
        if request is not None and request.speculative and request.asks(text):
            self._talk.note("speculation", fate="used")
            request.speculative = False
        else:
            self.drop()
            request = self._ask(text, self._talk.history.lines, speculative=False)
        self._request = request
        request.meaning = meaning
        self._advance(request)

    def _ask(self, text: str, lines: tuple[Line, ...], *, speculative: bool) -> _Request:
        model = self._talk.model
        assert model is not None
        self._numbers += 1
        told = briefing.messages(model, self._talk.question, lines)
        self._talk.act(AskModel(self._numbers, told, speculative))
        reader = ReplyReader(model.abbreviations, self._forbids)
        said = briefing.said_last(lines)
        return _Request(self._numbers, text, said, reader, speculative=speculative)

    def _forbids(self, sentence: str) -> bool:
        model = self._talk.model
        assert model is not None
        return bool(model.never_says.find(tokens(sentence)))

    # ---- leaving ----------------------------------------------------------------------------

    def interrupted(self) -> None:
        """The caller speaks again: whatever is under way is not what they are waiting for."""
        request = self._request
        if request is not None and request.meaning is not None and not request.spoken:
            self._interrupted = request.text, request.meaning
        self.drop()

    def resume(self) -> bool:
        """It was no speech after all: ask again what was interrupted, if anything was."""
        if self._interrupted is None:
            return False
        self.ask(*self._interrupted)
        return True

    def turn_understood(self) -> None:
        """The turn is over and needed no model."""
        self._interrupted = None
        self._speculated_turn = 0
        self.drop()

    def drop_ahead(self) -> None:
        """The turn is not over, or had no words: what was asked ahead is not wanted."""
        if not self.waiting:
            self.drop()

    def drop(self) -> None:
        """Nothing more of the request is wanted."""
        request, self._request = self._request, None
        if request is None:
            return
        if request.speculative:
            self._talk.note("speculation", fate="dropped")
            if request.prepared:
                self._talk.act(Forget(tuple(request.reader.sentences[: request.prepared])))
        if not request.ended:
            self._talk.act(DropModel(request.number))

    # ---- the reply --------------------------------------------------------------------------

    def reads(self, number: int) -> bool:
        """Whether anything still depends on the reply to request *number*."""
        return self._request is not None and self._request.number == number

    def wrote(self, text: str) -> None:
        """The next piece of the reply."""
        self._read(lambda reader: reader.push(text))

    def ended(self) -> None:
        """The reply is complete."""
        assert self._request is not None
        self._request.ended = True
        self._read(ReplyReader.end)

    def failed(self) -> None:
        """The reply will not come, or not to its end."""
        request = self._request
        assert request is not None
        request.ended = True
        if request.meaning is None:
            self.drop()  # when the turn is over it is asked again, in earnest
            return
        self._request = None
        if request.spoken:
            self._asker.end_free_answer()
        else:
            self._asker.not_answered(request.meaning)

    def _read(self, read: Callable[[ReplyReader], None]) -> None:
        request = self._request
        assert request is not None
        if request.misfit is not None:
            return
        try:
            read(request.reader)
        except MisfitError as misfit:
            request.misfit = misfit
        self._advance(request)

    def _advance(self, request: _Request) -> None:
        """Do what the reply so far calls for."""
        head, misfit = request.reader.head, request.misfit
        if request.meaning is None:
            self._think_ahead(request)
        elif misfit is not None and not request.spoken:
            self._give_up(request.meaning, "misfit", misfit.reason)
        elif head is None:
            pass
        elif head.intent is ModelIntent.UNCLEAR:
            self._give_up(request.meaning, "unclear", "unclear")
        elif head.intent is ModelIntent.QUESTION:
            self._speak(request)
        else:
            self._understand(request, head, request.meaning)

    def _give_up(self, meaning: Meaning, outcome: str, reason: str) -> None:
        self._talk.note("model", outcome=outcome, reason=reason)
        self.drop()
        self._asker.not_understood(meaning)

    def _understand(self, request: _Request, head: Head, by_rules: Meaning) -> None:
        try:
            meaning = meaning_of(head, request.said, self._talk.script)
        except MisfitError as misfit:
            self._give_up(by_rules, "misfit", misfit.reason)
            return
        self._request = None  # what it still writes is read to its end: that keeps the connection
        self._talk.note("model", outcome="understood", reason=head.intent.value)
        self._asker.understood(meaning, by_rules)

    def _speak(self, request: _Request) -> None:
        if request.reader.sentences and not request.spoken and not self._talk.put_again():
            return  # enough was asked, and answered, instead of an answer
        for sentence in request.reader.sentences[request.spoken :]:
            if not request.spoken:
                self._talk.note("model", outcome="answered", reason=ModelIntent.QUESTION.value)
            self._asker.say_free_answer(sentence, first=not request.spoken)
            request.spoken += 1
        if request.spoken and (request.reader.full or request.misfit is not None):
            self._asker.end_free_answer()
            self.drop()

    def _think_ahead(self, request: _Request) -> None:
        """Have made what will be said if the caller does not go on."""
        if self.can_answer(request.text) and not request.sufficed:
            request.sufficed = True
            self._talk.act(WaitLess())
        head = request.reader.head
        if head is not None and head.intent is ModelIntent.QUESTION:
            new = tuple(request.reader.sentences[request.prepared :])
            request.prepared += len(new)
            if new:
                self._talk.act(Prepare(new))
