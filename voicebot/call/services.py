"""What all calls share: made once by the service, handed to each session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicebot.call.detector import Detector
from voicebot.call.recorder import Recorder
from voicebot.call.speaker import Prompts
from voicebot.dialogue.script import Script
from voicebot.dialogue.slots import Limits
from voicebot.journal.writer import Journal
from voicebot.prompts.learned import Learned
from voicebot.providers.interfaces import LanguageModel, SpeechToText, TextToSpeech
from voicebot.providers.turn_ends import TurnEnds
from voicebot.telemetry.metrics import Metrics
from voicebot.telemetry.tracing import OFF, Tracing


@dataclass(frozen=True, slots=True)
class Services:
    """What every call shares."""

    script: Script
    limits: Limits
    stt: SpeechToText
    tts: TextToSpeech
    prompts: Prompts
    detector: Detector
    metrics: Metrics
    journal: Journal
    recorder: Recorder | None
    technician_available: Callable[[], bool]
    currency: str
    """Of what calls cost."""
    tracing: Tracing = OFF
    llm: LanguageModel | None = None
    """None: the script's rules understand alone."""
    llm_max_tokens: int = 300
    turn_ends: TurnEnds | None = None
    """None: words and silence alone end a turn."""
    learned: Learned | None = None
    """Told of sentences that were no prompts."""
