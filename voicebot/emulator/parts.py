"""What all services of one emulator share: who hears, speaks and answers, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from voicebot.emulator.brain import Brain
from voicebot.emulator.engines import Recogniser, Sentences
from voicebot.emulator.exchange import Exchange
from voicebot.emulator.faults import Faults, Service
from voicebot.emulator.latency import Latency
from voicebot.emulator.records import Records


@dataclass(slots=True)
class Parts:
    """Of one emulator; a service is a function of these and one exchange."""

    recogniser: Recogniser
    sentences: Sentences
    latency: Latency
    brain: Brain
    records: Records = field(default_factory=Records)
    faults: Faults = field(init=False, default_factory=Faults)
    exchanges: set[Exchange] = field(init=False, default_factory=set)
    """What is being served at this instant."""

    def open_exchanges(self, service: Service | None = None) -> list[Exchange]:
        """Requests and WebSockets that are being served, of *service* or at all."""
        return [e for e in self.exchanges if service in (None, e.service)]
