"""Every metric of the service, in one place, with its buckets and its closed label sets.

One :class:`Metrics` is made at start and handed to whoever counts; it has its own registry, so a
test can make as many as it likes. One module rather than a metric beside each use, because a
test compares this list with the reference page, the rules and the dashboards.

Every label child exists from the start: a failure series that is born with its first failure
makes its ratio vanish and is missed by ``increase()``. A call id, a number, a text or an address
in a label is a bug: each value is a time series kept for weeks.

Units are seconds and bytes. Attributes hold the ``prometheus_client`` objects themselves; code
that runs for each frame should keep the child (``metrics.audio_frames.labels("in")``) instead of
looking it up each time.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from voicebot.telemetry.instruments import Instruments

CALL_OUTCOMES = (
    "completed", "transferred", "callback", "no_input", "caller_hangup", "rejected", "failed",
)  # fmt: skip
TRAFFIC = ("live", "probe")
"""Callers, and the synthetic calls of ``voicebot probe``, which are no business."""
FAILURES = (
    "stt", "llm", "tts", "audio", "protocol", "storage", "not_understood", "stopped", "internal",
)  # fmt: skip
"""Why a call failed: a stage's provider; the audio's connection; a peer that broke the protocol;
a callback that could not be kept; nothing left to try; the service stopped; a bug."""
FALLBACKS = (
    "technician_asked", "not_solved", "no_match_limit", "round_limit", "provider_errors", "silence",
    "call_limit",
)  # fmt: skip
"""Why the dialogue left its own way: to a person, or to a goodbye."""
TURN_OUTCOMES = ("answered", "interrupted", "no_input", "no_match", "failed")
STAGES = ("endpointing", "llm", "tts", "playout")
PROVIDERS: Mapping[str, Sequence[str]] = {
    "stt": ("local", "deepgram"),
    "llm": ("groq", "groq_spare"),
    "tts": ("local", "deepgram", "openai", "openai_realtime"),
}
"""Names of the providers there are in each stage, used or not."""

LOCAL = "local"
"""The name of the embedded provider in each stage; it costs nothing."""

RESPONSE_BUCKETS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.5, 5.0, 8.0)
"""Dense where the objectives are; 1.25 and 2.5 s are objectives and must stay boundaries."""
STAGE_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0)
BARGE_IN_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
"""0.4 s is the objective."""
LATENESS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
"""0.02 s, one frame, is the objective."""
FIRST_AUDIO_BUCKETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
CALL_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)


def _clouds(providers: Mapping[str, Sequence[str]], stage: str) -> list[str]:
    return [name for name in providers.get(stage, ()) if name != LOCAL]


class Metrics(Instruments):
    """The metrics of one service process. Thread safe, as ``prometheus_client`` is."""

    def __init__(
        self,
        *,
        version: str = "unknown",
        revision: str = "unknown",
        providers: Mapping[str, Sequence[str]] = PROVIDERS,
    ) -> None:
        super().__init__()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._call_metrics()
        self._turn_metrics()
        self._provider_metrics(providers)
        self._use_metrics(providers)
        self._model_metrics(providers.get("llm", ()))
        self._audio_metrics()
        self._worker_metrics()
        self._storage_metrics()
        self._service_metrics(version, revision)

    def _call_metrics(self) -> None:
        self.calls = self._counter(
            "voicebot_calls",
            "Calls that ended, by how they ended.",
            outcome=CALL_OUTCOMES,
            traffic=TRAFFIC,
        )
        self.call_failures = self._counter(
            "voicebot_call_failures",
            "Calls that ended as failed, by what was at fault.",
            reason=FAILURES,
            traffic=TRAFFIC,
        )
        self.calls_active = self._gauge(
            "voicebot_calls_active", "Calls in progress, probes excluded."
        )
        self.calls_limit = self._gauge(
            "voicebot_calls_limit", "Most concurrent calls; further callers go to the human queue."
        )
        self.oldest_call = self._gauge(
            "voicebot_oldest_call_start_timestamp_seconds",
            "When the oldest call in progress was accepted; 0: none. Finds leaked calls.",
        )
        self.call_duration = self._histogram(
            "voicebot_call_duration_seconds",
            "From accepting a caller to the end of the call; probes excluded.",
            CALL_BUCKETS,
        )
        self.call_first_audio = self._histogram(
            "voicebot_call_first_audio_seconds",
            "From accepting a call to sending the first frame of the greeting.",
            FIRST_AUDIO_BUCKETS,
        )
        self.connections_refused = self._counter(
            "voicebot_connections_refused",
            "AudioSocket connections that did not become a call.",
            reason=("full", "draining", "duplicate", "protocol"),
        )

    def _turn_metrics(self) -> None:
        self.turns = self._counter(
            "voicebot_turns", "Turns that ended.", outcome=TURN_OUTCOMES, traffic=TRAFFIC
        )
        self.turn_response = self._histogram(
            "voicebot_turn_response_seconds",
            "From the caller's last speech sound to sending the first frame of the answer.",
            RESPONSE_BUCKETS,
            traffic=TRAFFIC,
        )
        self.turn_stage = self._histogram(
            "voicebot_turn_stage_seconds",
            "The caller's wait in each stage; a turn's stages add up to its response time.",
            STAGE_BUCKETS,
            stage=STAGES,
            traffic=TRAFFIC,
        )
        self.turn_end_judgements = self._counter(
            "voicebot_turn_end_judgements",
            "Pauses judged by sound: the caller sounded finished, or did not; the judgement came "
            "too late (the caller went on, or the turn was over), or the workers failed.",
            outcome=("finished", "unfinished", "late", "failed"),
        )
        self.barge_ins = self._counter(
            "voicebot_barge_ins",
            "Times the caller spoke over the bot, by what it turned out to be.",
            outcome=("accepted", "backchannel", "false"),
        )
        self.barge_in_stop = self._histogram(
            "voicebot_barge_in_stop_seconds",
            "From the onset of the caller's speech to the bot's last frame.",
            BARGE_IN_BUCKETS,
        )
        self.dialogue_fallbacks = self._counter(
            "voicebot_dialogue_fallbacks",
            "Times the dialogue left its normal path: to a person, or to a goodbye.",
            reason=FALLBACKS,
        )

    def _provider_metrics(self, providers: Mapping[str, Sequence[str]]) -> None:
        self.provider_requests = self._counter_of(
            "voicebot_provider_requests",
            "Requests to providers; one cancelled by a barge-in is not a failure.",
            ("stage", "provider", "outcome"),
            (
                (stage, name, outcome)
                for stage, names in providers.items()
                for name in names
                for outcome in ("ok", "error", "timeout", "cancelled")
            ),
        )
        self.stt_final = self._histogram(
            "voicebot_stt_final_seconds",
            "From detecting the caller's pause to the words said until then.",
            STAGE_BUCKETS,
            provider=providers.get("stt", ()),
        )
        self.tts_first_audio = self._histogram(
            "voicebot_tts_first_audio_seconds",
            "From asking for a sentence to its first audible sample.",
            STAGE_BUCKETS,
            provider=providers.get("tts", ()),
        )
        of_each = [(stage, name) for stage, names in providers.items() for name in names]
        self.provider_circuit_open = self._gauge_of(
            "voicebot_provider_circuit_open",
            "1 while a provider that failed is skipped, apart from probe requests.",
            ("stage", "provider"),
            of_each,
        )
        self.model_sunset = self._gauge_of(
            "voicebot_model_sunset_timestamp_seconds",
            "When the model in use will be switched off by its vendor; 0: no date is known.",
            ("stage", "provider"),
            of_each,
        )
        self.provider_hedges = self._counter(
            "voicebot_provider_hedges",
            "Second requests sent because the first was slow, and paid for as well: won or lost.",
            stage=("llm", "tts"),
            outcome=("won", "lost"),
        )
        self.prompt_cache = self._counter(
            "voicebot_prompt_cache_lookups",
            "Sentences looked up among the rendered prompts.",
            result=("hit", "miss"),
        )

    def _model_metrics(self, models: Sequence[str]) -> None:
        self.llm_first_token = self._histogram(
            "voicebot_llm_first_token_seconds",
            "From asking the language model to its first token, the reply's header included.",
            STAGE_BUCKETS,
            provider=models,
        )
        self.llm_replies = self._counter(
            "voicebot_llm_replies",
            "Outcome of language model requests at the end of a turn: it answered a question, "
            "understood the caller, did not, gave an unusable reply (misfit), or failed.",
            outcome=("answered", "understood", "unclear", "misfit", "failed"),
        )
        self.llm_speculations = self._counter(
            "voicebot_llm_speculations",
            "Speculative requests made before the caller's turn was over: used, dropped (paid for "
            "in vain), or not made because of the limit.",
            fate=("used", "dropped", "capped"),
        )
        self.fillers = self._counter(
            "voicebot_fillers",
            "Times a filler was played because nothing else could be played in time, by what was "
            "late.",
            waiting_for=("stt", "llm", "tts", "storage"),
        )

    def _use_metrics(self, providers: Mapping[str, Sequence[str]]) -> None:
        self.stt_audio = self._counter(
            "voicebot_stt_audio_seconds",
            "Seconds of callers' audio sent to recognisers that charge for it.",
            provider=_clouds(providers, "stt"),
        )
        self.llm_tokens = self._counter(
            "voicebot_llm_tokens",
            "Tokens of language models; input does not include the cached ones. Estimated for a "
            "request that was cut off.",
            provider=_clouds(providers, "llm"),
            direction=("input", "cached", "output"),
        )
        self.tts_characters = self._counter(
            "voicebot_tts_characters",
            "Characters sent to voices that charge for it.",
            provider=_clouds(providers, "tts"),
        )
        self.cost = self._counter_of(
            "voicebot_cost",
            "What providers charge, in the currency of the price table (PRICES_FILE).",
            ("stage", "provider", "traffic"),
            (
                (stage, name, traffic)
                for stage in providers
                for name in _clouds(providers, stage)
                for traffic in TRAFFIC
            ),
        )
        self.price_table = self._gauge_of(
            "voicebot_price_table_timestamp_seconds",
            "The date of the price table in use; present once it has been read.",
            ("currency",),
            (),
        )

    def _audio_metrics(self) -> None:
        self.audio_frames = self._counter(
            "voicebot_audio_frames",
            "Frames of 20 ms from (in) and to (out) the callers: 50 a second for each call.",
            direction=("in", "out"),
        )
        self.frame_lateness = self._histogram(
            "voicebot_audio_frame_lateness_seconds",
            "How long after its absolute deadline each frame was written.",
            LATENESS_BUCKETS,
        )
        self.underruns = self._counter(
            "voicebot_audio_underruns",
            "Slots of 20 ms with nothing to play while the bot was in the middle of speaking.",
        )
        self.dropped_frames = self._counter(
            "voicebot_audio_dropped_frames",
            "Frames of 20 ms dropped by a full queue.",
            queue=("recorder", "socket"),
        )
        self.audiosocket_errors = self._counter(
            "voicebot_audiosocket_errors",
            "AudioSocket protocol violations, by who was at fault.",
            fault=("local", "remote"),
        )

    def _worker_metrics(self) -> None:
        self.worker_restarts = self._counter(
            "voicebot_worker_restarts",
            "Worker processes that died, hung or used too much memory, and were replaced.",
            reason=("died", "hung", "memory"),
        )
        # Which cores there are is known only at start.
        self.worker_memory = self._gauge_of(
            "voicebot_worker_memory_bytes",
            "Resident memory of the worker on each core, after its last job.",
            ("cpu",),
            (),
        )
        jobs = ("transcribe", "end_of_turn", "synthesize", "level", "clip")
        self.worker_jobs = self._counter(
            "voicebot_worker_jobs",
            "Jobs given to workers, by outcome.",
            kind=jobs,
            outcome=("ok", "error", "timeout", "cancelled"),
        )
        self.worker_job_seconds = self._histogram(
            "voicebot_worker_job_seconds", "Compute time of a job.", STAGE_BUCKETS, kind=jobs
        )
        self.worker_jobs_waiting = self._gauge(
            "voicebot_worker_jobs_waiting",
            "Jobs waiting for a free worker; turn: a caller is waiting for the answer.",
            priority=("turn", "speak", "batch"),
        )

    def _storage_metrics(self) -> None:
        self.learned_sentences = self._gauge(
            "voicebot_learned_sentences",
            "Sentences rendered because several calls said them; they count as hits.",
        )
        self.recordings = self._counter("voicebot_recordings", "Recordings started.")
        self.recording_failures = self._counter(
            "voicebot_recording_failures",
            "Recordings that stopped early because of the disk; what was recorded is kept.",
        )
        self.journal_writes = self._counter(
            "voicebot_journal_writes", "Transactions committed to the journal."
        )
        self.journal_failures = self._counter(
            "voicebot_journal_failures", "Transactions that failed; they are retried."
        )
        self.journal_dropped = self._counter(
            "voicebot_journal_dropped_records",
            "Records dropped: the database rejected them, or was down until memory was full.",
        )
        self.journal_pending = self._gauge(
            "voicebot_journal_pending_records", "Records waiting to be written to the journal."
        )

    def _service_metrics(self, version: str, revision: str) -> None:
        self.loop_lag = self._histogram(
            "voicebot_event_loop_lag_seconds",
            "How late a 100 ms tick ran on the event loop.",
            LATENESS_BUCKETS,
        )
        # Which cores there are is known only at start: see own_cores.
        self.core_role = self._gauge_of(
            "voicebot_core_role",
            "1 for each core of the event loop (role loop) and of the workers (role worker).",
            ("cpu", "role"),
            (),
        )
        self.log_messages = self._counter(
            "voicebot_log_messages",
            "Log messages, by level.",
            level=("debug", "info", "warning", "error", "critical"),
        )
        self.log_dropped = self._counter(
            "voicebot_log_dropped_lines",
            "Log lines dropped because standard error was blocked.",
        )
        self.trace_spans = self._counter(
            "voicebot_trace_spans",
            "Spans of finished calls, by whether they reached the collector (OTLP_ENDPOINT).",
            outcome=("exported", "lost"),
        )
        self.draining = self._gauge(
            "voicebot_draining", "1 while the service finishes its calls and takes no new ones."
        )
        self.build_info = self._gauge(
            "voicebot_build_info",
            "Always 1; the labels say what is running.",
            version=(version,),
            revision=(revision,),
            python=(platform.python_version(),),
        )
        self.build_info.labels(version, revision, platform.python_version()).set(1)

    def own_cores(self, loop: int, workers: Iterable[int]) -> None:
        """Say which cores the service uses for what, numbered as the kernel does."""
        self.core_role.labels(str(loop), "loop").set(1)
        for core in workers:
            self.core_role.labels(str(core), "worker").set(1)
