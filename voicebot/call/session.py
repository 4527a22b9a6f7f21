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
from voicebot.call.caller_turns import CallerTurns
from voicebot.call.ledger import CallLedger
from voicebot.call.lines import CallResult
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
from voicebot.providers.interfaces import Expectation, ProviderError
from voicebot.providers.usage import Bill
from voicebot.telemetry.tracing import trace_id_of
from voicebot.turns.events import SpeechLasted

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallMemory:
    """What is remembered of a call when it is over, for the dialplan and for a return."""

    next_step: do.NextStep
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
        on_ended: Callable[[CallSession, CallMemory], None],
    ) -> None:
        self.call_id = call_id
        self.traffic = traffic_of(call_id)
        self._log = log.bind(call_id=str(call_id))
        self.started_at = datetime.now(UTC)
        trace = services.tracing.call(trace_id_of(str(call_id)))
        notes = CallNotes(str(call_id), self.traffic, trace, Bill(self.traffic))
        self._context = notes.context()
        self.feed = notes.feed
        self.end_command: do.EndCall | None = None
        """How the call was told to end; None until it is."""
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
        self._turns = CallerTurns(
            call_id, services, loop, self._context, self._ledger,
            self._machine.completeness, self._on_heard, connection.fail,
        )  # fmt: skip
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

    def start(self, came_back: CallMemory | None = None) -> None:
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

    def end(self, next_step: do.NextStep, outcome: str) -> None:
        """End the call from outside the conversation (the service stops). Idempotent."""
        if self.end_command is None and not self._closed:
            self._end_call(do.EndCall(next_step, outcome, "stopped"))

    # -- CallHandler

    def next_frame(self) -> bytes | None:
        now = self._loop.time()
        if not self._closed and self.end_command is None:
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
        self._turns.audio(pcm, now)

    def digit_received(self, digit: str, now: float) -> None:
        self._dispatch(ev.DigitPressed(digit))

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        failure = ""
        if self.end_command is not None:
            outcome, ended_by, failure = self.end_command.outcome, "bot", self.end_command.failure
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

    # -- what happens to the call

    def _poll(self, now: float) -> None:
        self._turns.poll(now)
        deadline = self._machine.deadline()
        if deadline is not None and now >= deadline:
            self._dispatch(ev.Tick())

    def _on_heard(self, event: ev.Event) -> None:
        """What the caller's turns come to."""
        # Nothing interrupts the last words: if they are cut, it is by the end of the call.
        interruptible = self._speaker.speaking and self._machine.talk.pending_end is None
        if isinstance(event, SpeechLasted) and interruptible:
            self._ledger.spoke_up(event.at)
        self._dispatch(event)

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
        if self._busy or self.end_command is not None:
            return
        self._busy = True
        try:
            while self._inbox and self.end_command is None:
                now = self._loop.time()
                for command in self._machine.handle(self._inbox.popleft(), now):
                    self._carry_out(command, now)
        except Exception:
            # A bug in the conversation must cost one answer, not one caller.
            self._log.exception("dialogue failed", state=self.state)
            self._end_call(do.EndCall(do.NextStep.TRANSFER, "failed", "internal"))
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
            case do.WaitLess():
                self._turns.wait_less()
            case do.DropModel():
                self._thinker.drop(command.request)
            case do.StopPlayout():
                stopped = self._speaker.stop()
                if stopped is not None:
                    self._ledger.bot_cut(stopped.heard, now)
                    self._inbox.append(stopped)
            case do.Expect():
                self._turns.expect(Expectation(command.answer.value))
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
        self.end_command = command
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
            next_step = do.NextStep.HANGUP
            if ended_by == "error":
                next_step = do.NextStep.TRANSFER
            elif self.end_command is not None:
                next_step = self.end_command.next_step
            slots = self._machine.slots
            memory = CallMemory(
                next_step, outcome, slots.name, slots.number, slots.confirmed, slots.problem
            )
            self._on_ended(self, memory)

    def _close_books(self, outcome: str, ended_by: str, failure: str) -> None:
        """Fall silent, and note how the call ended."""
        now = self._loop.time()
        recording = self._tape.close() if self._tape is not None else None
        self._turns.close()
        stopped = self._speaker.stop()
        if stopped is not None:
            self._ledger.bot_cut(stopped.heard, now)
        result = CallResult(
            outcome=outcome,
            ended_by=ended_by,
            failure=failure,
            recording=recording,
            underruns=self._speaker.underruns,
            late_frames=self._connection.late_frames,
        )
        self._ledger.ended(result, self._machine.slots, now)

    async def _release(self) -> None:
        await self._thinker.close()
        await self._speaker.close()
        await self._turns.release()
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
