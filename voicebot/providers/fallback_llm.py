"""A language model that is several: the first that writes something answers.

How they are asked is :mod:`voicebot.providers.fallback_stream`. When none can be asked (their
gates are shut), the request fails at once: the rules of the dialogue are what remains, and they
need no waiting for. A speculative request gets one attempt and no competition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_stream import Insistence, StreamChain, StreamLink
from voicebot.providers.interfaces import LanguageModel, ModelRequest, Stage
from voicebot.telemetry.metrics import Metrics

USUAL_FIRST_TOKEN = 0.35
"""Seconds a provider is taken to need for its first words while nothing is known of it."""


@dataclass(frozen=True, slots=True)
class ModelLink:
    """One provider of the chain."""

    llm: LanguageModel
    gate: Gate


class FallbackLanguageModel:
    """A :class:`~voicebot.providers.interfaces.LanguageModel`.

    *attempts* is how often one provider is asked the same at most, *patience* the seconds after
    which its first words are too late.
    """

    name = "chain"

    def __init__(
        self,
        links: Sequence[ModelLink],
        metrics: Metrics,
        *,
        attempts: int,
        patience: float,
        hedging: bool = False,
    ) -> None:
        self._how = Insistence(attempts, patience, hedging)
        self._speculating = Insistence(1, patience)
        self._chain = StreamChain(
            Stage.LLM,
            [
                StreamLink(link.llm.name, link.llm.answer, link.gate, USUAL_FIRST_TOKEN)
                for link in links
            ],
            metrics,
            last_resort=False,
        )

    def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply as it arrives. Raises ProviderError: the last one's, if nobody could."""
        return self._chain.ask(request, self._speculating if request.speculative else self._how)
