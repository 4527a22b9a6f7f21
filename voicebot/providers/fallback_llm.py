"""A language model that is several: the first that writes something of use answers.

How they are asked is :mod:`voicebot.providers.fallback_stream`. Of use is what the request says is:
a reply that begins at once and then drips is late like one that does not begin, and what it has
written by then is not read. Each provider has the same time, so the next one has it after
one that was late: its answer costs the caller less than being asked again would. When none can be
asked (their gates are shut), the request fails at once: the rules of the dialogue are what remains,
and they need no waiting for. A speculative request gets one attempt and no competition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from voicebot.providers.fallback import Gate
from voicebot.providers.fallback_stream import Insistence, StreamChain, StreamLink
from voicebot.providers.interfaces import LanguageModel, ModelRequest, Stage
from voicebot.telemetry.metrics import Metrics

USUAL_FIRST_WORDS = 0.45
"""Seconds a provider is taken to need for what can be used while nothing is known of it."""


@dataclass(frozen=True, slots=True)
class ModelLink:
    """One provider of the chain."""

    llm: LanguageModel
    gate: Gate


class FallbackLanguageModel:
    """A :class:`~voicebot.providers.interfaces.LanguageModel`.

    *attempts* is how often one provider is asked the same at most, *timeout* the seconds that each
    has for what can be used.
    """

    name = "chain"

    def __init__(
        self,
        links: Sequence[ModelLink],
        metrics: Metrics,
        *,
        attempts: int,
        timeout: float,
        hedging: bool = False,
    ) -> None:
        in_all = timeout * len(links)
        self._how = Insistence(attempts, timeout, in_all, hedging)
        self._speculating = Insistence(1, timeout, in_all)
        self._chain = StreamChain(
            Stage.LLM,
            [
                StreamLink(link.llm.name, link.llm.answer, link.gate, USUAL_FIRST_WORDS)
                for link in links
            ],
            metrics,
            last_resort=False,
            enough=_enough,
        )

    def answer(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the reply as it arrives. Raises ProviderError: the last one's, if nobody could."""
        return self._chain.ask(request, self._speculating if request.speculative else self._how)


def _enough(request: ModelRequest) -> Callable[[str], bool]:
    judge = request.new_judge()
    return lambda piece: judge(piece) is not None
