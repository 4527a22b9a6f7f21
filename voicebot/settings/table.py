"""Every setting of the service: its one name, default, unit and check.

``.env.example`` and ``docs/reference/settings.md`` are generated from the table below (``voicebot
settings``), so they cannot go stale. Where the values come from is :mod:`voicebot.config`'s.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from voicebot.settings.values import Parser
from voicebot.settings.values import address as _address
from voicebot.settings.values import age_recipient as _age_recipient
from voicebot.settings.values import boolean as _boolean
from voicebot.settings.values import chain as _chain
from voicebot.settings.values import choice as _choice
from voicebot.settings.values import cores as _cores
from voicebot.settings.values import headers as _headers
from voicebot.settings.values import integer as _integer
from voicebot.settings.values import non_empty as _text
from voicebot.settings.values import optional_path as _optional_path
from voicebot.settings.values import optional_url as _optional_url
from voicebot.settings.values import path as _path
from voicebot.settings.values import seconds as _seconds
from voicebot.settings.values import sunsets as _sunsets
from voicebot.settings.values import url as _url


def _setting(
    env: str,
    default: str,
    parse: Parser,
    unit: str,
    about: str,
    *,
    group: str,
    secret: bool = False,
) -> Any:
    meta = {
        "env": env, "text": default, "parse": parse, "unit": unit,
        "about": about, "group": group, "secret": secret,
    }  # fmt: skip
    return field(default_factory=lambda: parse(default), metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. Durations are seconds, sizes bytes."""

    # -- network
    audiosocket_host: str = _setting(
        "AUDIOSOCKET_HOST", "127.0.0.1", _text, "address",
        "Where Asterisk connects. AudioSocket has no authentication: keep it on loopback, or "
        "behind a firewall that admits only Asterisk.", group="network")  # fmt: skip
    audiosocket_port: int = _setting(
        "AUDIOSOCKET_PORT", "9090", _integer(0, 65535), "TCP port",
        "Port of the above; 0 picks a free one.", group="network")  # fmt: skip
    control_host: str = _setting(
        "CONTROL_HOST", "127.0.0.1", _text, "address",
        "Where the control API, health and metrics listen. Keep it on loopback.",
        group="network")  # fmt: skip
    control_port: int = _setting(
        "CONTROL_PORT", "9080", _integer(0, 65535), "TCP port",
        "Port of the above; 0 picks a free one.", group="network")  # fmt: skip

    # -- calls
    max_calls: int = _setting(
        "MAX_CONCURRENT_CALLS", "20", _integer(1, 1000), "calls",
        "Concurrent calls; further callers go to the human queue.", group="calls")  # fmt: skip
    silence_warning: float = _setting(
        "SILENCE_WARNING_TIMEOUT", "8", _seconds(2, 60), "s",
        "Caller silence after which the bot asks whether anybody is there. Time during which the "
        "bot speaks or works does not count.", group="calls")  # fmt: skip
    silence_hangup: float = _setting(
        "SILENCE_HANGUP_TIMEOUT", "15", _seconds(3, 120), "s",
        "Caller silence after which the bot says goodbye and hangs up.", group="calls")  # fmt: skip
    max_call_duration: float = _setting(
        "MAX_CALL_DURATION", "600", _seconds(30, 7200), "s", "Longest a call may last.",
        group="calls")  # fmt: skip
    drain_timeout: float = _setting(
        "DRAIN_TIMEOUT", "660", _seconds(0, 7200), "s",
        "After SIGTERM, how long calls in progress may continue. Keep it above MAX_CALL_DURATION; "
        "a drain of 20 minutes pages.",
        group="calls")  # fmt: skip
    resume_window: float = _setting(
        "RESUME_WINDOW", "120", _seconds(5, 3600), "s",
        "How long an ended call is remembered: until then, one that was transferred to a "
        "technician can come back.",
        group="calls")  # fmt: skip

    # -- conversation
    script_file: Path | None = _setting(  # noqa: RUF009 -- a field()
        "SCRIPT_FILE", "", _optional_path, "path",
        "What the bot says and understands. Empty: the French SAV script shipped with it.",
        group="conversation")  # fmt: skip
    technicians_available: str = _setting(
        "TECHNICIANS", "hours", _choice("hours", "always", "never"), "",
        "When technicians can take calls: during the script's opening hours, always, or never.",
        group="conversation")  # fmt: skip

    # -- speech
    deepgram_api_key: str = _setting(
        "DEEPGRAM_API_KEY", "", str, "", "Deepgram (speech to text). Empty: not used.",
        group="speech", secret=True)  # fmt: skip
    groq_api_key: str = _setting(
        "GROQ_API_KEY", "", str, "", "Groq (language model). Empty: not used.",
        group="speech", secret=True)  # fmt: skip
    openai_api_key: str = _setting(
        "OPENAI_API_KEY", "", str, "", "OpenAI (text to speech). Empty: not used.",
        group="speech", secret=True)  # fmt: skip
    stt_chain: tuple[str, ...] = _setting(
        "STT_CHAIN", "auto", _chain("deepgram", "local"), "names",
        "Recognisers, in order: if one fails, the next one hears the same turn. auto: those "
        "with a key, then local (see EMBEDDED_ENGINE).", group="speech")  # fmt: skip
    tts_chain: tuple[str, ...] = _setting(
        "TTS_CHAIN", "auto", _chain("openai", "openai_realtime", "deepgram", "local"), "names",
        "Voices, in order. auto: those with a key, then local.",
        group="speech")  # fmt: skip
    llm_chain: tuple[str, ...] = _setting(
        "LLM_CHAIN", "auto", _chain("groq", "groq_spare", "rules"), "names",
        "What handles input that the script's rules do not understand, in order, always ending "
        "with rules (the caller is asked again). groq_spare is Groq with another model. auto: "
        "groq, groq_spare, rules if there is a Groq key, otherwise rules.",
        group="speech")  # fmt: skip
    stt_timeout: float = _setting(
        "STT_TIMEOUT", "0.8", _seconds(0.2, 4), "s",
        "Deadline from a caller's pause to a cloud's words; then the next one hears the turn.",
        group="speech")  # fmt: skip
    listen_for_turn_end: str = _setting(
        "LISTEN_FOR_TURN_END", "auto", _choice("auto", "always", "never"), "",
        "Have the workers judge from the sound of the voice whether a caller has finished (30 to "
        "90 ms of a core per pause): if so, the bot answers after 0.2 s, where the words alone "
        "would make it wait 0.5 or 0.65 s. auto: only with a cloud recogniser; the embedded engine "
        "needs the workers itself.",
        group="speech")  # fmt: skip
    tts_timeout: float = _setting(
        "TTS_TIMEOUT", "1.0", _seconds(0.2, 4), "s",
        "Deadline from a sentence to a cloud's first audible sample; then the next one says it.",
        group="speech")  # fmt: skip
    tts_hedging: bool = _setting(
        "TTS_HEDGING", "false", _boolean, "",
        "Also ask the next one when a cloud is slower than it was for 95 of its last 100 "
        "sentences. One sentence in twenty is paid for twice.", group="speech")  # fmt: skip
    llm_timeout: float = _setting(
        "LLM_TIMEOUT", "1.0", _seconds(0.2, 4), "s",
        "Deadline from asking a language model to something usable in its reply: what the caller "
        "meant, or a whole sentence. Then the next one is asked, with the same deadline; after the "
        "last, the rules answer.", group="speech")  # fmt: skip
    llm_hedging: bool = _setting(
        "LLM_HEDGING", "false", _boolean, "",
        "Also ask the next one when a model is slower than it was for 95 of its last 100 replies. "
        "One request in twenty is paid for twice.", group="speech")  # fmt: skip
    llm_speculations_turn: int = _setting(
        "LLM_SPECULATIONS_PER_TURN", "2", _integer(0, 10), "requests",
        "How often the language model may be asked before it is certain that the caller has "
        "finished, which makes answers half a second faster; discarded requests are paid for. 0: "
        "never.",
        group="speech")  # fmt: skip
    llm_speculations_call: int = _setting(
        "LLM_SPECULATIONS_PER_CALL", "30", _integer(0, 1000), "requests",
        "The same, per call.", group="speech")  # fmt: skip
    llm_max_tokens: int = _setting(
        "LLM_MAX_TOKENS", "300", _integer(50, 4000), "tokens",
        "Longest reply of the language model, including its reasoning.",
        group="speech")  # fmt: skip
    api_timeout: float = _setting(
        "API_TIMEOUT", "10", _seconds(1, 60), "s",
        "Longest a cloud may take over one sentence or reply.", group="speech")  # fmt: skip
    api_attempts: int = _setting(
        "API_RETRY_ATTEMPTS", "2", _integer(1, 5), "attempts",
        "How often one cloud is asked for the same thing, as long as it can still be in time.",
        group="speech")  # fmt: skip
    deepgram_base_url: str = _setting(
        "DEEPGRAM_BASE_URL", "https://api.deepgram.com", _url, "URL",
        "Deepgram's address. In Europe: https://api.eu.deepgram.com.", group="speech")  # fmt: skip
    deepgram_model: str = _setting(
        "DEEPGRAM_MODEL", "nova-3", _text, "",
        "The recognition model; flux-general-multi also predicts when a turn is over.",
        group="speech")  # fmt: skip
    deepgram_voice: str = _setting(
        "DEEPGRAM_VOICE", "aura-2-agathe-fr", _text, "", "The voice model.",
        group="speech")  # fmt: skip
    deepgram_opt_out: bool = _setting(
        "DEEPGRAM_MIP_OPT_OUT", "true", _boolean, "",
        "Keep what callers say out of Deepgram's training data (at a higher price).",
        group="speech")  # fmt: skip
    groq_base_url: str = _setting(
        "GROQ_BASE_URL", "https://api.groq.com", _url, "URL", "Groq's address.",
        group="speech")  # fmt: skip
    groq_model: str = _setting(
        "GROQ_MODEL", "openai/gpt-oss-20b", _text, "", "The model used by groq.",
        group="speech")  # fmt: skip
    groq_spare_model: str = _setting(
        "GROQ_SPARE_MODEL", "openai/gpt-oss-120b", _text, "", "The model used by groq_spare.",
        group="speech")  # fmt: skip
    groq_reasoning: str = _setting(
        "GROQ_REASONING", "low", _choice("low", "medium", "high", "off"), "",
        "Reasoning effort of both models; off for models without reasoning.",
        group="speech")  # fmt: skip
    openai_base_url: str = _setting(
        "OPENAI_BASE_URL", "https://api.openai.com/v1", _url, "URL",
        "OpenAI's address, or that of another service with the same /audio/speech.",
        group="speech")  # fmt: skip
    openai_model: str = _setting(
        "OPENAI_TTS_MODEL", "gpt-4o-mini-tts", _text, "", "The voice model used by openai.",
        group="speech")  # fmt: skip
    openai_voice: str = _setting(
        "OPENAI_TTS_VOICE", "nova", _text, "", "Its voice.", group="speech")  # fmt: skip
    openai_instructions: str = _setting(
        "OPENAI_TTS_INSTRUCTIONS", "", str, "",
        "How it should speak, in words. Not supported by tts-1.", group="speech")  # fmt: skip
    realtime_model: str = _setting(
        "OPENAI_REALTIME_MODEL", "gpt-realtime-2.1-mini", _text, "",
        "The voice model used by openai_realtime, which takes over when openai's is switched off.",
        group="speech")  # fmt: skip
    realtime_voice: str = _setting(
        "OPENAI_REALTIME_VOICE", "marin", _text, "", "Its voice.", group="speech")  # fmt: skip
    model_sunsets: tuple[str, ...] = _setting(
        "MODEL_SUNSETS", "", _sunsets, "model=date",
        "Corrected dates on which models are switched off, such as tts-1=2027-03-01 or "
        "tts-1=never.", group="speech")  # fmt: skip
    prices_file: Path | None = _setting(  # noqa: RUF009 -- a field()
        "PRICES_FILE", "", _optional_path, "path",
        "What the clouds charge you. Empty: their list prices, in dollars.",
        group="speech")  # fmt: skip
    models_dir: Path = _setting(  # noqa: RUF009 -- a field()
        "MODELS_DIR", "var/models", _path, "path", "Verified model files of the offline engine.",
        group="speech")  # fmt: skip

    embedded_engine: bool = _setting(
        "EMBEDDED_ENGINE", "true", _boolean, "",
        "Use the offline engine: it is the last in each chain that is auto. false: clouds only, "
        "with a key for each stage; callers reach a human if they all fail.",
        group="speech")  # fmt: skip

    # -- machine
    worker_cores: tuple[int, ...] | None = _setting(
        "WORKER_CORES", "", _cores, "core numbers",
        "Cores for the speech and transcoding workers, one process each. Empty: every core except "
        "the loop's.", group="machine")  # fmt: skip
    worker_memory: int = _setting(
        "WORKER_MEMORY", "1500", _integer(200, 100_000), "MB",
        "Most memory one worker may use; one that exceeds it is replaced and its job is run again. "
        "The engines need about 520.", group="machine")  # fmt: skip
    loop_core: int = _setting(
        "LOOP_CORE", "-1", _integer(-1, 1023), "core number",
        "Core for the event loop. -1: the first one the process may use.",
        group="machine")  # fmt: skip

    stuck_limit: float = _setting(
        "STUCK_LIMIT", "10", _seconds(0, 3600), "s",
        "If the event loop has been stuck for this long, the process logs where and exits, to be "
        "restarted. 0: never.", group="machine")  # fmt: skip

    # -- files
    cache_dir: Path = _setting(  # noqa: RUF009 -- a field()
        "CACHE_DIR", "var/cache", _path, "path", "Rendered prompts.", group="files")  # fmt: skip
    recorded_prompts: Path | None = _setting(  # noqa: RUF009 -- a field()
        "RECORDED_PROMPTS", "", _optional_path, "path",
        "Directory of sentences recorded by a person, with their prompts.yaml. They replace the "
        "synthesised ones.", group="files")  # fmt: skip
    recordings_dir: Path = _setting(  # noqa: RUF009 -- a field()
        "RECORDINGS_DIR", "var/recordings", _path, "path", "One stereo file per call.",
        group="files")  # fmt: skip
    prompts_dir: Path | None = _setting(  # noqa: RUF009 -- a field()
        "PROMPTS_DIR", "", _optional_path, "path",
        "Pre-rendered prompts, read-only; included in the images. Empty: none.",
        group="files")  # fmt: skip
    record_calls: bool = _setting(
        "RECORD_CALLS", "true", _boolean, "", "Record both sides of every call.",
        group="files")  # fmt: skip
    recordings_key: str = _setting(
        "RECORDINGS_KEY", "", _age_recipient, "age public key",
        "`voicebot convert` encrypts MP3s to it; only the secret key, which need not be on this "
        "machine, can decrypt them. Empty: no encryption.", group="files")  # fmt: skip
    journal_url: str = _setting(
        "JOURNAL_URL", "sqlite:///var/journal.db", _text, "SQLAlchemy URL",
        "Calls, turns, outcomes and callback requests.", group="files")  # fmt: skip

    # -- retention
    recordings_days: int = _setting(
        "RECORDINGS_DAYS", "180", _integer(0, 36500), "days",
        "`voicebot retention` removes older recordings. 0 keeps them for ever.",
        group="retention")  # fmt: skip
    transcripts_days: int = _setting(
        "TRANSCRIPTS_DAYS", "180", _integer(0, 36500), "days",
        "It blanks older texts in the journal; the figures stay. Names and numbers go once both "
        "text and recording are gone. 0 keeps them for ever.", group="retention")  # fmt: skip
    callbacks_days: int = _setting(
        "CALLBACKS_DAYS", "180", _integer(0, 36500), "days",
        "It removes older callback requests, done or not. 0 keeps them for ever.",
        group="retention")  # fmt: skip
    probes_days: int = _setting(
        "PROBES_DAYS", "7", _integer(0, 36500), "days",
        "It removes older test calls (`voicebot probe`) entirely: one a minute makes 1,440 a day. "
        "0 keeps them for ever.", group="retention")  # fmt: skip
    backup_target: str = _setting(
        "BACKUP_TARGET", "", str, "directory, host:path, restic:…",
        "Where `voicebot backup` keeps the snapshots of this machine, and of no other. host:path "
        "goes over SSH; restic:REPOSITORY is encrypted, and may be object storage "
        "(restic:s3:https://host/bucket/path).", group="retention")  # fmt: skip
    backup_key: str = _setting(
        "BACKUP_KEY", "", str, "passphrase",
        "Decrypts the restic:… backups; without it they are lost, so keep a copy elsewhere.",
        group="retention", secret=True)  # fmt: skip
    backup_access_key: str = _setting(
        "BACKUP_ACCESS_KEY", "", str, "", "Access key ID for an S3 object store.",
        group="retention", secret=True)  # fmt: skip
    backup_secret_key: str = _setting(
        "BACKUP_SECRET_KEY", "", str, "", "Its secret access key.",
        group="retention", secret=True)  # fmt: skip
    backup_days: int = _setting(
        "BACKUP_DAYS", "30", _integer(0, 36500), "days",
        "`voicebot backup` removes older snapshots, except the last. A forgotten person's data "
        "stays in them until then. 0 keeps them for ever.", group="retention")  # fmt: skip

    # -- probe
    probe_sip_address: str = _setting(
        "PROBE_SIP_ADDRESS", "127.0.0.1:5060", _address, "host:port",
        "Where `voicebot probe` calls: Asterisk's SIP address on this host.",
        group="probe")  # fmt: skip
    probe_speech: Path | None = _setting(  # noqa: RUF009 -- a field()
        "PROBE_SPEECH", "", _optional_path, "path",
        "What it says: a goodbye in your script's language, WAV, 8000 Hz, 16 bit, mono. Empty: "
        "the French one shipped with it.", group="probe")  # fmt: skip

    # -- traces
    otlp_endpoint: str = _setting(
        "OTLP_ENDPOINT", "", _optional_url, "URL",
        "OpenTelemetry collector to which traces of calls are sent, by OTLP over HTTP, such as "
        "http://127.0.0.1:4318. Empty: no traces.", group="traces")  # fmt: skip
    otlp_headers: tuple[str, ...] = _setting(
        "OTLP_HEADERS", "", _headers, "name=value,…",
        "Headers that the collector requires.", group="traces", secret=True)  # fmt: skip
    trace_transcripts: bool = _setting(
        "TRACE_TRANSCRIPTS", "false", _boolean, "",
        "Include what people say in traces (attributes with pii in their name).",
        group="traces")  # fmt: skip

    # -- logs
    log_level: str = _setting(
        "LOG_LEVEL", "info", _choice("debug", "info", "warning", "error"), "",
        "Lowest level that is logged.", group="logs")  # fmt: skip
    log_format: str = _setting(
        "LOG_FORMAT", "auto", _choice("auto", "json", "console"), "",
        "auto is JSON unless standard error is a terminal.", group="logs")  # fmt: skip
    log_transcripts: bool = _setting(
        "LOG_TRANSCRIPTS", "false", _boolean, "",
        "Include what people say in the log (keys that start with pii_).",
        group="logs")  # fmt: skip


def described() -> list[Field[Any]]:
    """The table: fields whose metadata is env, text, parse, unit, about, group, secret."""
    return list(fields(Settings))


assert all(f.default_factory is not MISSING for f in described()), "every setting has a default"
