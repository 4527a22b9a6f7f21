"""The language model in one call: requests out, the events of their replies in.

Each request has a task of its own. One that is no longer wanted but nearly over may be left to
run, so that its connection can be used again; every one has the provider's time limits, and none
outlives the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import Context
from functools import partial
from typing import cast

import structlog

from voicebot.dialogue.commands import AskModel
from voicebot.dialogue.events import ModelEnded, ModelFailed, ModelWrote
from voicebot.dialogue.reply import ReplyJudge
from voicebot.dialogue.script import ModelScript
from voicebot.providers.interfaces import (
    LanguageModel,
    Message,
    ModelRequest,
    ProviderError,
    Role,
)

log = structlog.get_logger(__name__)

Told = Callable[[ModelWrote | ModelEnded | ModelFailed], None]


class Thinker:
    """Of one call, for which nobody may have to think: then *llm* is None, and nothing is asked.
    *script* is what the dialogue reads replies by.

    *tell* is called on the event loop; *context* is the call's.
    """

    def __init__(
        self,
        llm: LanguageModel | None,
        script: ModelScript | None,
        call_id: str,
        max_tokens: int,
        tell: Told,
        context: Context,
    ) -> None:
        self._llm = llm
        self._abbreviations = script.abbreviations if script is not None else frozenset()
        self._call_id = call_id
        self._max_tokens = max_tokens
        self._tell = tell
        self._context = context
        self._log = log.bind(call_id=call_id)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def ask(self, command: AskModel) -> None:
        """Begin a request; its events follow."""
        request = ModelRequest(
            tuple(Message(Role(role), text) for role, text in command.messages),
            self._max_tokens,
            self._call_id,
            command.speculative,
            partial(ReplyJudge, self._abbreviations),
        )
        number = command.request
        assert self._llm is not None, "nobody can be asked"
        task = asyncio.get_running_loop().create_task(
            self._read(self._llm, number, request), context=self._context.copy()
        )
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def drop(self, number: int) -> None:
        """Stop request *number*; no event of it follows."""
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop all of them, and wait until their connections are let go. Idempotent."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, llm: LanguageModel, number: int, request: ModelRequest) -> None:
        try:
            source = cast(AsyncGenerator[str, None], llm.answer(request))
            async with aclosing(source) as pieces:
                async for text in pieces:
                    self._tell(ModelWrote(number, text))
        except ProviderError as error:
            self._log.warning(
                "provider failed", stage="llm", provider=error.provider, reason=str(error)
            )
            self._tell(ModelFailed(number))
        except Exception:
            # A bug in a provider must not leave the caller without an answer.
            self._log.exception("language model failed", provider=llm.name)
            self._tell(ModelFailed(number))
        else:
            self._tell(ModelEnded(number))
