"""The kinds of provider trouble that somebody acts on differently.

Every one is a :class:`~voicebot.providers.interfaces.ProviderError`, so whoever does not care
need not know them.
"""

from __future__ import annotations

from voicebot.providers.interfaces import ProviderError, Stage


class ProviderLateError(ProviderError):
    """The answer did not come in time. Counted apart from an error: the peer may be fine."""

    def __init__(self, stage: Stage, provider: str, message: str) -> None:
        super().__init__(stage, provider, message, retryable=True)


class ProviderBusyError(ProviderError):
    """The provider asks us to come back later (HTTP 429, 503 with ``retry-after``)."""

    def __init__(
        self, stage: Stage, provider: str, message: str, *, retry_after: float | None
    ) -> None:
        super().__init__(stage, provider, message, retryable=True)
        self.retry_after = retry_after
        """Seconds, if the provider said."""


class KeyRefusedError(ProviderError):
    """The provider does not take our key. No retry can help: somebody must mend *setting*."""

    def __init__(self, stage: Stage, provider: str, setting: str, reason: str) -> None:
        super().__init__(
            stage,
            provider,
            f"{setting} was refused by {provider} ({reason}); correct it and restart the service",
            retryable=False,
        )
        self.setting = setting


class ModelGoneError(ProviderError):
    """The provider does not have the model (any more): only another one in the settings helps."""

    def __init__(self, stage: Stage, provider: str, reason: str) -> None:
        super().__init__(
            stage,
            provider,
            f"{provider} does not have the model ({reason}); choose another in the settings and "
            "restart the service",
            retryable=False,
        )


_GONE = ("model_decommissioned", "model_not_found")
"""What the makers call it, whatever the HTTP status."""


def of_status(
    stage: Stage,
    provider: str,
    setting: str,
    status: int,
    reason: str,
    retry_after: str | None = None,
) -> ProviderError:
    """What the HTTP *status* of a refused request means; *setting* names the key."""
    if status in (401, 403):
        return KeyRefusedError(stage, provider, setting, f"{status} {reason}".strip())
    if reason in _GONE:
        return ModelGoneError(stage, provider, f"{status} {reason}")
    told = f"{provider} answered {status} {reason}".strip()
    if status == 429 or (status == 503 and retry_after is not None):
        return ProviderBusyError(stage, provider, told, retry_after=_seconds(retry_after))
    if status == 402:
        message = f"{told}: the account of {setting} has no credit left"
        return ProviderError(stage, provider, message, retryable=False)
    if status in (408, 409) or status >= 500:
        return ProviderError(stage, provider, told, retryable=True)
    message = f"{told}: check the model and voice in the settings"
    return ProviderError(stage, provider, message, retryable=False)


def _seconds(retry_after: str | None) -> float | None:
    """Of the header: a number. A date, which the makers do not send, counts as unknown."""
    try:
        return max(0.0, float(retry_after)) if retry_after is not None else None
    except ValueError:
        return None
