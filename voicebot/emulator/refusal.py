"""An error answer to a request, and the shapes that the vendors give it. Pure."""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """The request is refused; ``str()`` is what the service says."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after = retry_after
        """Seconds."""

    def openai_body(self) -> dict[str, Any]:
        """As OpenAI and Groq write it."""
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def deepgram_body(self, request_id: str) -> dict[str, Any]:
        return {
            "err_code": (self.code or self.kind).upper(),
            "err_msg": str(self),
            "request_id": request_id,
        }

    def headers(self, request_id: str) -> dict[str, str]:
        """Those that any of the vendors sends; ``dg-error`` is where Deepgram's reason is when a
        WebSocket is refused."""
        headers = {"x-request-id": request_id, "dg-request-id": request_id, "dg-error": str(self)}
        if self.retry_after is not None:
            headers |= {
                "retry-after": f"{self.retry_after:g}",
                "x-ratelimit-limit-requests": "1000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": f"{self.retry_after:g}s",
            }
        return headers
