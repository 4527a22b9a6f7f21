"""One call, from the UUID to the end: the shell around the dialogue machine.

Everything happens in callbacks on the event loop, none of which waits. The connection asks for a
frame every 20 ms, and that is also when deadlines are looked at: so a decision and the first frame
of the answer to it leave in the same slot. Events go through one inbox, in order, because commands
answer with events of their own.

What may fail here fails this call only: a bug in the dialogue is logged and counted, and the caller
is handed to a person.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from voicebot.call.callbacks import Callbacks
from voicebot.call.hearing import Hearing
from voicebot.call.ledger import CallLedger
from voicebot.call.lines import Ending
from voicebot.call.notes import CallNotes
from voicebot.call.services import Services
from voicebot.call.speaker import Speaker
from voicebot.call.tape import CallTape
from voicebot.call.thinker import Thinker
from voicebot.call.traffic import LIVE, traffic_of
from voicebot.call.transport import AudioSocketConnection, fault_of
from voicebot.dialogue import commands as do
from voicebot.dialogue import events as ev
from voicebot.dialogue.machine import DialogueMachine
from voicebot.journal.records import CallbackRequest
from voicebot.providers.interfaces import Expectation, ProviderError, Transcript
from voicebot.providers.usage import Bill
from voicebot.telemetry.tracing import trace_id_of
from voicebot.turns.endpointing import Completeness
from voicebot.turns.events import EndOfTurn, Paused, SpeechLasted, SpeechStarted, TurnEvent

log = structlog.get_logger(__name__)

TRANSCRIPT_DEADLINE = 4.0
"""Seconds from a pause to its words; beyond it the caller would hear nothing for too long."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What is remembered of a call when it is over, for the dialplan and for a return."""

    next: do.Next
    outcome: str
    name: str | None
    number: str | None
    confirmed: bool
    """The caller has said that the number is right."""
    problem: str | None


class CallSession:
    """The handler of one AudioSocket connection (:class:`voicebot.call.transport.CallHandler`)."""

    def __init__(
        self,
        call_id: uuid.UUID,
        connection: AudioSocketConnection,
        services: Services,
        loop: asyncio.AbstractEventLoop,
        on_ended: Callable[[CallSession, Ended], None],
    ) -> None:
        self.call_id = call_id
        self.traffic = traffic_of(call_id)
        self._log = log.bind(call_id=str(call_id))
        self.started_at = datetime.now(UTC)
        trace = services.tracing.call(trace_id_of(str(call_id)))
        notes = CallNotes(str(call_id), self.traffic, trace, Bill(self.traffic))
        self._context = notes.context()
        self.feed = notes.feed
        self.ending: do.EndCall | None = None
        self._connection = connection
        self._services = services
        self._loop = loop
        self._on_ended = on_ended
        now = loop.time()
        has_model = services.llm is not None
        self._machine = DialogueMachine(services.script, services.limits, ask_model=has_model)
        self._ledger = CallLedger(notes, services.metrics, services.journal, services.currency, now)
        self._speaker = Speaker(services.tts, services.prompts, self, self._context)
        self._thinker = Thinker(
            services.llm, services.script.model, str(call_id), services.llm_max_tokens,
            self._on_reply, self._context,
        )  # fmt: skip
        self._stream = self._context.run(
            services.stt.open, str(call_id), self._on_transcript, self._on_stt_error
        )
        self._hearing = Hearing(
            services.detector, self._stream, now, self._on_turn_event, connection.fail,
            services.turn_ends, str(call_id),
        )  # fmt: skip
        self._transcript: Transcript | None = None
        self._paused_at: float | None = None
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._callbacks = Callbacks(services.journal, loop, self._on_callback_stored)
        self._closed = False
        self._underruns = 0
        # One probe a minute would be most of the archive, and nobody would listen to it.
        recorder = services.recorder if self.traffic == LIVE else None
        self._tape = CallTape(recorder.open(str(call_id))) if recorder is not None else None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> str:
        return self._machine.state.value

    def start(self, came_back: Ended | None = None) -> None:
        """Begin the conversation. Call once, when the connection is admitted."""
        script = self._services.script
        self._ledger.started(script.name, script.version)
        self._log.info("call started", traffic=self.traffic, came_back=came_back is not None)
        event = ev.CallStarted()
        if came_back is not None:
            event = ev.CallStarted(
                came_back=True,
                name=came_back.name,
                number=came_back.number,
                confirmed=came_back.confirmed,
                problem=came_back.problem,
            )
        self._dispatch(event)

    def end(self, next_step: do.Next, outcome: str) -> None:
        """End the call from outside the conversation (the service stops). Idempotent."""
        if self.ending is None and not self._closed:
            self._end_call(do.EndCall(next_step, outcome, "stopped"))

    # -- CallHandler

    def next_frame(self) -> bytes | None:
        now = self._loop.time()
        if not self._closed and self.ending is None:
            self._poll(now)
        frame = self._speaker.next_frame()
        if self._speaker.underruns != self._underruns:
            self._services.metrics.underruns.inc(self._speaker.underruns - self._underruns)
            self._underruns = self._speaker.underruns
        if self._tape is not None:
            self._tape.slot(frame)
        return frame

    def audio_received(self, pcm: bytes, now: float) -> None:
        if self._tape is not None:
            self._tape.heard(pcm)
        self._hearing.audio(pcm, now)

    def digit_received(self, digit: str, now: float) -> None:
        self._dispatch(ev.DigitPressed(digit))

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        failure = ""
        if self.ending is not None:
            outcome, ended_by, failure = self.ending.outcome, "bot", self.ending.failure
        elif error is None:
            outcome, ended_by = "caller_hangup", "caller"
        else:
            outcome, ended_by, failure = "failed", "error", fault_of(error)
            self._log.warning("call lost", error=str(error), failure=failure)
        self._finish(outcome, ended_by, failure or "internal")

    # -- SpeakerListener

    def audio_ready(self) -> None:
        self._ledger.audio_ready(self._loop.time())

    def audio_sent(self, utterance: int) -> None:
        self._ledger.audio_sent(self._loop.time())
        self._dispatch(ev.PlayoutBegan(utterance))

    def answer_sent(self) -> None:
        self._ledger.answer_sent(self._loop.time())

    def prompt_looked_up(self, found: bool) -> None:
        self._services.metrics.prompt_cache.labels("hit" if found else "miss").inc()

    def sentence_made(self, text: str) -> None:
        learned = self._services.learned
        if learned is not None:
            slots = self._machine.slots
            learned.spoken(text, str(self.call_id), filter(None, (slots.name, slots.number)))

    def utterance_ended(self, event: ev.PlayoutEnded) -> None:
        self._ledger.bot_heard(event.text, self._loop.time())
        self._dispatch(event)

    def speech_failed(self, error: ProviderError) -> None:
        self._provider_failed(error)

    # -- the caller's turns

    def _poll(self, now: float) -> None:
        self._hearing.poll(now)
        if self._paused_at is not None and now - self._paused_at > TRANSCRIPT_DEADLINE:
            self._log.warning("no transcript in time", deadline_s=TRANSCRIPT_DEADLINE)
            self._give_up_on_transcript(now)
        deadline = self._machine.deadline()
        if deadline is not None and now >= deadline:
            self._dispatch(ev.Tick())

    def _on_turn_event(self, event: TurnEvent) -> None:
        match event:
            case SpeechStarted():
                self._paused_at = None
                self._transcript = None
                self._dispatch(event)
            case SpeechLasted():
                # Nothing interrupts the last words: if they are cut, it is by the end of the call.
                if self._speaker.speaking and self._machine.talk.ending is None:
                    self._ledger.spoke_up(event.at)
                self._dispatch(event)
            case Paused():
                self._paused_at = self._loop.time()
                self._dispatch(event)
            case EndOfTurn():
                self._on_end_of_turn(event)

    def _on_transcript(self, transcript: Transcript) -> None:
        if self._closed:
            return
        if transcript.early:
            if self._hearing.turns.in_turn:
                self._dispatch(ev.WordsSoFar(transcript.text, transcript.yes, early=True))
            return
        completeness = self._machine.completeness(transcript.text, transcript.yes)
        if self._hearing.turns.transcript(transcript.pause, completeness):
            self._transcript = transcript
            self._paused_at = None
            self._dispatch(ev.WordsSoFar(transcript.text, transcript.yes))

    def _on_end_of_turn(self, event: EndOfTurn) -> None:
        transcript, self._transcript = self._transcript, None
        self._paused_at = None
        text = transcript.text if transcript is not None else ""
        if text.strip() and transcript is not None:
            self._ledger.caller_said(transcript, event.at, self._loop.time())
        yes = transcript.yes if transcript is not None else None
        self._dispatch(ev.TurnEnded(text, yes, event.speech_seconds, event.at))

    def _on_stt_error(self, error: ProviderError) -> None:
        if self._closed:
            return
        self._log.warning("provider failed", stage="stt", provider=error.provider, error=str(error))
        self._give_up_on_transcript(self._loop.time())

    def _give_up_on_transcript(self, now: float) -> None:
        self._paused_at = None
        self._transcript = None
        for _ in self._hearing.give_up_on_transcript():
            self._dispatch(ev.ProviderFailed("stt"))

    def _on_reply(self, event: ev.Event) -> None:
        if not self._closed:
            self._dispatch(event)

    def _provider_failed(self, error: ProviderError) -> None:
        self._log.warning(
            "provider failed", stage=error.stage.value, provider=error.provider, error=str(error)
        )
        self._dispatch(ev.ProviderFailed(error.stage.value))

    # -- the dialogue

    def _dispatch(self, event: ev.Event) -> None:
        self._inbox.append(event)
        if self._busy or self.ending is not None:
            return
        self._busy = True
        try:
            while self._inbox and self.ending is None:
                now = self._loop.time()
                for command in self._machine.handle(self._inbox.popleft(), now):
                    self._carry_out(command, now)
        except Exception:
            # A bug in the conversation must cost one answer, not one caller.
            self._log.exception("dialogue failed", state=self.state)
            self._end_call(do.EndCall(do.Next.TRANSFER, "failed", "internal"))
        finally:
            self._busy = False

    def _carry_out(self, command: do.Command, now: float) -> None:
        match command:
            case do.Say(utterance, sentences, more, filler):
                self._ledger.bot_says(sentences, now, filler=filler)
                self._speaker.say(utterance, sentences, more=more, filler=filler)
            case do.SayMore(utterance, sentences, last):
                self._ledger.bot_says(sentences, now)
                self._speaker.say_more(utterance, sentences, last=last)
            case do.Prepare():
                self._speaker.prepare(command.sentences)
            case do.Forget():
                self._speaker.forget(command.sentences)
            case do.AskModel():
                self._thinker.ask(command)
            case do.WordsSuffice():
                if self._transcript is not None:
                    self._hearing.turns.transcript(self._transcript.pause, Completeness.ANSWERABLE)
            case do.DropModel():
                self._thinker.drop(command.request)
            case do.StopPlayout():
                stopped = self._speaker.stop()
                if stopped is not None:
                    self._ledger.bot_cut(stopped.heard, now)
                    self._inbox.append(stopped)
            case do.Expect():
                self._stream.expect(Expectation(command.answer.value))
            case do.CheckTechnician():
                available = self._services.technician_available()
                self._log.info("technician checked", available=available)
                self._inbox.append(ev.TechnicianChecked(available))
            case do.StoreCallback():
                self._store_callback(command)
            case do.StopRecording():
                self._stop_recording()
            case do.EndCall():
                self._end_call(command)
            case do.Note():
                self._ledger.note(command.kind, command.fields, now)

    def _store_callback(self, command: do.StoreCallback) -> None:
        self._callbacks.store(
            CallbackRequest(
                call_id=str(self.call_id),
                requested_at=datetime.now(UTC),
                number=command.number,
                name=command.name,
                reason=command.problem,
            )
        )

    def _on_callback_stored(self, stored: bool) -> None:
        self._dispatch(ev.CallbackStored(stored))

    # -- the end

    def _end_call(self, command: do.EndCall) -> None:
        self.ending = command
        self._connection.end()

    def _finish(self, outcome: str, ended_by: str, failure: str) -> None:
        try:
            self._close_books(outcome, ended_by, failure)
        finally:
            # Whatever went wrong there: what the call started is stopped, and its place is free.
            self._callbacks.close()
            task = self._loop.create_task(self._release())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            next_step = self.ending.next if self.ending is not None else do.Next.HANGUP
            if ended_by == "error":
                next_step = do.Next.TRANSFER
            slots = self._machine.slots
            ended = Ended(
                next_step, outcome, slots.name, slots.number, slots.confirmed, slots.problem
            )
            self._on_ended(self, ended)

    def _close_books(self, outcome: str, ended_by: str, failure: str) -> None:
        """Fall silent, and note how the call ended."""
        now = self._loop.time()
        recording = self._tape.close() if self._tape is not None else None
        self._hearing.close()
        stopped = self._speaker.stop()
        if stopped is not None:
            self._ledger.bot_cut(stopped.heard, now)
        ending = Ending(
            outcome=outcome,
            ended_by=ended_by,
            failure=failure,
            recording=recording,
            underruns=self._speaker.underruns,
            late_frames=self._connection.late_frames,
        )
        self._ledger.ended(ending, self._machine.slots, now)

    async def _release(self) -> None:
        await self._thinker.close()
        await self._speaker.close()
        await self._stream.close()
        self._ledger.released()

    async def released(self) -> None:
        """Wait until nothing of the call is left running."""
        await asyncio.gather(*self._closing)

    # -- the recording

    def _stop_recording(self) -> None:
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.discard()
            self._log.info("recording refused by the caller")
