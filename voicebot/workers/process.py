"""The service's end of one worker process.

Starts it, sends it one call at a time and awaits the answer; nothing here waits on the loop's
time. Knows nothing of queues, priorities or replacement: that is :mod:`voicebot.workers.pool`.

The process is started by ``subprocess`` and not by ``multiprocessing``, which would add a
resource tracker process and import the service's main module into each worker.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

from voicebot.workers.channel import Raised, Returned, Unpacker, pack
from voicebot.workers.jobs import Call

LEAVING: Final = 0.5
"""Seconds between a worker's socket and its process, when it ends by itself."""
MEMORY_POLL: Final = 0.25
"""Seconds between two looks at what a busy worker holds."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Fault(Enum):
    """Why a worker is replaced; the value is the metric label."""

    DIED = "died"
    """It ended by itself, or somebody killed it."""
    HUNG = "hung"
    MEMORY = "memory"


class WorkerDiedError(Exception):
    """The process ended, or was killed, with a call outstanding."""

    def __init__(self, message: str, fault: Fault = Fault.DIED) -> None:
        super().__init__(message)
        self.fault = fault


class _Answers(asyncio.Protocol):
    """Hands each message to the call that waits for it."""

    def __init__(self) -> None:
        self._unpacker = Unpacker()
        self.waiting: asyncio.Future[Returned | Raised] | None = None
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.push(data):
            waiting, self.waiting = self.waiting, None
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(WorkerDiedError("the worker process died"))


class WorkerProcess:
    """One running worker, made by :meth:`start`. The owner must call :meth:`stop`."""

    def __init__(
        self, process: subprocess.Popen[bytes], transport: asyncio.Transport, answers: _Answers
    ) -> None:
        self._process = process
        self._transport = transport
        self._answers = answers
        self.closed = answers.closed
        """Done when the process has gone. Wait for it, never await it: that could cancel it."""

    @classmethod
    async def start(cls, core: int) -> WorkerProcess:
        """Start a worker pinned to *core*. It need not be ready yet: calls wait in the socket.

        Call it from the main thread: the kernel kills the worker when the thread that started
        it ends, not the process. Raises OSError if the system has no room for a process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once; we read by socket
                [
                    sys.executable, "-P", "-m", "voicebot.workers.child",
                    str(theirs.fileno()), str(core), str(os.getpid()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )  # fmt: skip
        loop = asyncio.get_running_loop()
        try:
            transport, answers = await loop.create_unix_connection(_Answers, sock=ours)
        except BaseException:
            ours.close()
            process.kill()
            process.wait()  # killed, so at once
            raise
        return cls(process, transport, answers)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory(self) -> int:
        """Resident bytes; 0 if it has gone. From procfs: microseconds."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(fields[1]) * _PAGE

    async def call(
        self, call: Call, deadline: float, most_memory: int | None = None
    ) -> Returned | Raised:
        """Run *call* and return its answer. One at a time.

        Raises WorkerDiedError; after *deadline* seconds, or with more than *most_memory* bytes
        resident, the process is killed for that. A call cannot be taken back: if this is
        cancelled, the process is good for :meth:`stop` only.
        """
        assert self._answers.waiting is None, "a worker does one call at a time"
        if self.closed.done():
            raise WorkerDiedError("the worker process died")
        answer: asyncio.Future[Returned | Raised] = asyncio.get_running_loop().create_future()
        self._answers.waiting = answer
        self._transport.write(pack(call))
        try:
            async with asyncio.timeout(deadline):
                while most_memory is not None:
                    await asyncio.wait((answer,), timeout=MEMORY_POLL)
                    if answer.done():
                        break
                    self._check_memory(most_memory)
                return await answer
        except TimeoutError:
            self._process.kill()
            message = f"the worker gave no answer in {deadline:g} s"
            raise WorkerDiedError(message, Fault.HUNG) from None
        finally:
            answer.cancel()  # nobody waits for it any more

    def _check_memory(self, most: int) -> None:
        held = self.memory
        if held > most:
            self._process.kill()
            raise WorkerDiedError(too_much(held, most), Fault.MEMORY)

    async def ending(self) -> str:
        """How a process ended that has closed its socket. It has LEAVING to be gone by itself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                await self._gone()
        await self.stop()
        status = self._process.returncode
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    async def stop(self) -> None:
        """End the process now, whatever it does: jobs hold nothing that must be saved."""
        self._process.kill()
        self._transport.abort()
        try:
            await asyncio.wait((self.closed,))
            await self._gone()  # SIGKILL takes a moment
        finally:
            self._process.wait()  # already over, unless this was cancelled: then nobody is held up

    async def _gone(self) -> None:
        """A blocking wait would hold up every call's next frame."""
        while self._process.poll() is None:  # noqa: ASYNC110 -- a process sets no event
            await asyncio.sleep(0.005)


def too_much(held: int, most: int) -> str:
    """Why a worker with *held* bytes is replaced."""
    return f"the worker held {held / 1e6:.0f} MB, {most / 1e6:.0f} are allowed (WORKER_MEMORY)"


def _environment() -> dict[str, Any]:
    """One thread a worker, as it has one core; and the modules this process sees."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
