"""A voice that is several: the first provider that makes a sound says the sentence.

How they are asked is :mod:`voicebot.providers.fallback_stream`. The last of the chain is always
asked, whatever is known of it: there is nothing better to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_stream import Insistence, StreamChain, StreamLink
from voicebot.providers.interfaces import Stage, TextToSpeech
from voicebot.telemetry.metrics import Metrics

USUAL_FIRST_AUDIO = 0.35
"""Seconds a provider is taken to need for its first sound while nothing is known of it."""


@dataclass(frozen=True, slots=True)
class VoiceLink:
    """One provider of the chain."""

    tts: TextToSpeech
    gate: Gate


class FallbackTextToSpeech:
    """A :class:`~voicebot.providers.interfaces.TextToSpeech`.

    *attempts* is how often one provider is asked for one sentence at most, *patience* the seconds
    after which its first sound is too late.
    """

    name = "chain"

    def __init__(
        self,
        links: Sequence[VoiceLink],
        metrics: Metrics,
        *,
        attempts: int,
        patience: float,
        hedging: bool = False,
    ) -> None:
        self.voice = links[0].tts.voice
        self._how = Insistence(attempts, patience, patience, hedging)
        self._chain = StreamChain(
            Stage.TTS,
            [
                StreamLink(link.tts.name, link.tts.synthesize, link.gate, USUAL_FIRST_AUDIO)
                for link in links
            ],
            metrics,
            last_resort=True,
        )

    def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Yield slin as it arrives. Raises ProviderError: the last one's, if nobody could."""
        return self._chain.ask(text, self._how)
