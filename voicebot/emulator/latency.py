"""How long each emulated service takes: distributions fitted to published quantiles, seeded.

Pure. A service's figures are published as quantiles, and answer times are close to log-normal: of
Deepgram's three, the fit to the first two predicts the third within 2 %. Draws are cut off at the
99.9th percentile, so that one in a thousand does not make two benchmarks incomparable.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from statistics import NormalDist
from typing import Any, Final

_NORMAL: Final = NormalDist()
_MOST_DEVIATIONS: Final = _NORMAL.inv_cdf(0.999)


class LatencyError(Exception):
    """A table of latencies is wrong. ``str()`` names the entry and says what is allowed."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A log-normal one of seconds; ``median`` 0 is no delay at all."""

    median: float
    deviation: float = 0.0
    """Standard deviation of the logarithm."""

    @classmethod
    def through(cls, p50: float, **others: float) -> Distribution:
        """The one whose median is *p50*, nearest to the other quantiles (``p95=0.3``, …).

        Raises LatencyError for quantiles that are not above the median, or not quantiles.
        """
        if p50 <= 0 or not math.isfinite(p50):
            raise LatencyError(f"p50 must be above 0 seconds, not {p50:g}")
        products = squares = 0.0
        for name, value in others.items():
            if not name.startswith("p") or not name[1:].isdigit() or not 50 < int(name[1:]) < 100:
                raise LatencyError(f"{name}: quantiles are p50, p51 … p99")
            if not p50 <= value < math.inf:
                raise LatencyError(f"{name} must not be below p50 ({p50:g}), and is {value:g}")
            deviations = _NORMAL.inv_cdf(int(name[1:]) / 100)
            products += deviations * math.log(value / p50)
            squares += deviations**2
        return cls(p50, products / squares if squares else 0.0)

    def quantile(self, share: float) -> float:
        """Seconds below which *share* (0 to 1, exclusive) of the draws lie."""
        return self.median * math.exp(self.deviation * _NORMAL.inv_cdf(share))

    def draw(self, chance: random.Random) -> float:
        """One delay, in seconds."""
        if not self.median:
            return 0.0
        deviations = max(-_MOST_DEVIATIONS, min(_MOST_DEVIATIONS, chance.gauss(0.0, 1.0)))
        return self.median * math.exp(self.deviation * deviations)


class Step(Enum):
    """What is waited for; the value is the key in a table, and the name in the record."""

    LISTEN_FINAL = "listen_final"
    LISTEN_INTERIM = "listen_interim"
    CHAT_FIRST_TOKEN = "chat_first_token"  # noqa: S105 -- not a password
    CHAT_WRITTEN = "chat_written"
    """From the first token to the first sentence; follows from the tokens a second."""
    SPEECH_FIRST_BYTE = "speech_first_byte"
    SPEAK_FIRST_BYTE = "speak_first_byte"
    REALTIME_FIRST_BYTE = "realtime_first_byte"


DRAWN: Final[tuple[Step, ...]] = tuple(step for step in Step if step is not Step.CHAT_WRITTEN)
"""Those with a distribution of their own."""
_NONE: Final = Distribution(0.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """The latencies of all services."""

    listen_final: Distribution = _NONE
    listen_interim: Distribution = _NONE
    chat_first_token: Distribution = _NONE
    speech_first_byte: Distribution = _NONE
    speak_first_byte: Distribution = _NONE
    realtime_first_byte: Distribution = _NONE
    chat_tokens_per_second: float = math.inf
    speech_times_real_time: float = math.inf

    def of(self, step: Step) -> Distribution:
        found: Distribution = getattr(self, step.value)
        return found


def parse(table: Mapping[str, Any]) -> Profile:
    """The profile that a table (see ``data/emulator/latency.yaml``) describes.

    What it leaves out takes no time. Raises LatencyError.
    """
    if not isinstance(table, Mapping):
        raise LatencyError("latencies must be a mapping of names to quantiles")
    names = {f.name for f in fields(Profile)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in names:
            raise LatencyError(f"{name}: no such latency; there are {', '.join(sorted(names))}")
        try:
            if name in {step.value for step in DRAWN}:
                values[name] = Distribution.through(**{k: float(v) for k, v in value.items()})
            else:
                values[name] = float(value)
        except (AttributeError, TypeError, ValueError):
            raise LatencyError(f"{name}: {value!r} is not {{p50: seconds, p95: …}}") from None
        except LatencyError as error:
            raise LatencyError(f"{name}: {error}") from None
        if isinstance(values[name], float) and not values[name] > 0:
            raise LatencyError(f"{name} must be above 0, not {value}")
    return Profile(**values)


class Latency:
    """Draws delays. One chance for each step, so that one service's load leaves the others'
    sequence as it is: the same seed gives the same delays in the same order."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.profile = profile
        self._chances: dict[Step, random.Random] = {
            step: random.Random(f"{seed} {step.value}")  # noqa: S311
            for step in DRAWN
        }

    def draw(self, step: Step) -> float:
        """Seconds that this one will take."""
        return self.profile.of(step).draw(self._chances[step])
