"""Worker processes, one a core, and the queue in front of them.

Everything that computes for longer than a fraction of a frame runs here, never on the event
loop: speech recognition, synthesis, transcoding. A crash or a hang in there is a fault of one
job, never of a call.

One task a core keeps a worker alive and feeds it from one queue, ordered by priority and then by
age; work that nobody waits for can be kept off some of the workers (:meth:`WorkerPool.spare`), as
a job that has begun is not interrupted. A job that is cancelled while queued is dropped; one that
is running goes on, and its result is thrown away. If a worker dies, computes past its job's
deadline or holds too much memory, it is replaced, and the job is run once more. One that has kept
too much after its job is replaced between two jobs. A new worker first makes the *warm* calls, so
that no caller waits for an engine to load. If workers die before they are warm, the wait before
the next one grows to 30 s.

The queue is bounded for each priority, and a job has a patience: a backlog that nobody can wait
out is refused at once rather than worked off late.
"""

from __future__ import annotations

import asyncio
import bisect
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from voicebot.workers.channel import Raised
from voicebot.workers.jobs import Call, Job, Priority
from voicebot.workers.process import Fault, WorkerDiedError, WorkerProcess, too_much

if TYPE_CHECKING:
    from voicebot.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 64  #: jobs waiting at each priority; three a call at 20 calls
WARM_DEADLINE = 60.0  #: seconds; loading both engines takes 2
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_STOPPING = "the service is stopping"


class WorkerError(Exception):
    """A job could not be done. The message is for an operator and holds nothing that was said."""


@dataclass(order=True)
class _Ticket:
    """One job's place in the queue."""

    priority: Priority
    number: int
    job: Job = field(compare=False)
    call: Call = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)
    tried: bool = field(compare=False, default=False)
    impatience: asyncio.TimerHandle = field(compare=False, init=False)


class WorkerPool:
    """The workers of one service.

    ``start()`` it in a running loop, on the main thread; ``await close()`` when done. *warm* is
    what each worker runs before its first job, *most_memory* the bytes it may hold.
    """

    def __init__(
        self,
        cores: Sequence[int],
        metrics: Metrics,
        *,
        warm: Sequence[Call] = (),
        queue_limit: int = QUEUE_LIMIT,
        most_memory: int | None = None,
    ) -> None:
        self.size = len(cores)
        self._cores = tuple(cores)
        self._metrics = metrics
        self._warm = tuple(warm)
        self._queue: list[_Ticket] = []  # sorted; at most queue_limit for each priority
        self._queue_limit = queue_limit
        self._most_memory = most_memory
        self._most_batches = self.size
        self._batches = 0  # running
        self._idle: list[asyncio.Future[None]] = []
        self._numbers = itertools.count()
        self._keepers: list[asyncio.Task[None]] = []
        self._pids: dict[int, int] = {}
        for priority in Priority:
            # Counted when it is scraped, from a thread: a job costs nothing.
            metrics.worker_jobs_waiting.labels(priority.name.lower()).set_function(
                functools.partial(self._waiting, priority)
            )

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are alive."""
        return tuple(self._pids.values())

    def spare(self, workers: int) -> None:
        """From now on keep *workers* of them free of :attr:`Priority.BATCH`, but not the last."""
        self._most_batches = max(1, self.size - workers)

    async def start(self) -> None:
        """Start every worker and return when all are warm.

        Raises WorkerError, with everything stopped again, if one of them cannot be.
        """
        loop = asyncio.get_running_loop()
        ready = [loop.create_future() for _ in self._cores]
        self._keepers = [
            loop.create_task(self._keep(core, future), name=f"worker on core {core}")
            for core, future in zip(self._cores, ready, strict=True)
        ]
        try:
            await asyncio.gather(*ready)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill the workers and fail what is queued. Idempotent."""
        keepers, self._keepers = self._keepers, []
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for ticket in self._queue:
            self._fail(ticket, "error", _STOPPING)

    async def run(self, job: Job, *args: object, priority: Priority = Priority.BATCH) -> Any:
        """Run *job* in a worker and return its result.

        Raises WorkerError if it fails twice, is refused or nobody takes it in time. Cancelling
        this takes the job out of the queue, or discards its result.
        """
        if not self._keepers:
            raise WorkerError(f"{job.name}: the workers are not running")
        if self._waiting(priority) >= self._queue_limit:
            self._count(job, "error")
            raise WorkerError(
                f"{job.name}: {self._queue_limit} jobs of priority {priority.name} are waiting "
                "already; the workers cannot keep up: lower MAX_CONCURRENT_CALLS, or add to "
                "WORKER_CORES"
            )
        loop = asyncio.get_running_loop()
        ticket = _Ticket(
            priority, next(self._numbers), job, Call(job.target, args), loop.create_future()
        )
        self._put(ticket)
        try:
            return await ticket.done
        finally:
            ticket.impatience.cancel()
            if ticket in self._queue:
                self._queue.remove(ticket)
            if ticket.done.cancelled():
                self._count(job, "cancelled")

    # -- the queue

    def _waiting(self, priority: Priority) -> int:
        return sum(ticket.priority is priority for ticket in list(self._queue))

    def _put(self, ticket: _Ticket) -> None:
        """Queue *ticket*, for as long as its patience lasts."""
        patience = ticket.job.patience
        ticket.impatience = asyncio.get_running_loop().call_later(
            patience,
            self._fail, ticket, "timeout",
            f"no worker was free for {patience:g} s: lower MAX_CONCURRENT_CALLS, or add to "
            "WORKER_CORES",
        )  # fmt: skip
        bisect.insort(self._queue, ticket)
        self._wake_one()

    def _wake_one(self) -> None:
        if self._queue and self._idle:
            self._idle.pop(0).set_result(None)

    async def _next(self, worker: WorkerProcess) -> _Ticket:
        """The most urgent job; raises WorkerDiedError if *worker* goes before there is one."""
        while not worker.closed.done():
            ticket = self._take()
            if ticket is not None:
                return ticket
            arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(arrival)
            try:
                await asyncio.wait((arrival, worker.closed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if arrival in self._idle:
                    self._idle.remove(arrival)
        self._wake_one()  # this worker may have been woken for a job that it can no longer do
        raise WorkerDiedError("the idle worker process died")

    def _take(self) -> _Ticket | None:
        """The first of the queue that somebody still wants and a worker may do now."""
        while self._queue:
            ticket = self._queue[0]
            if ticket.done.done():
                self._queue.pop(0)
            elif ticket.priority is Priority.BATCH and self._batches >= self._most_batches:
                return None  # whoever does one now will look for the next
            else:
                return self._queue.pop(0)
        return None

    def _fail(self, ticket: _Ticket, outcome: str, reason: str) -> None:
        if not ticket.done.done():
            self._count(ticket.job, outcome)
            ticket.done.set_exception(WorkerError(f"{ticket.job.name}: {reason}"))

    def _count(self, job: Job, outcome: str) -> None:
        self._metrics.worker_jobs.labels(job.name, outcome).inc()

    # -- one core

    async def _keep(self, core: int, ready: asyncio.Future[None]) -> None:
        """Keep a worker on *core* for ever. *ready* is set once, when the first one is warm."""
        backoff = _FIRST_BACKOFF
        while True:
            try:
                await self._live(core, ready)
            except (WorkerDiedError, WorkerError, OSError) as error:
                if not ready.done():
                    ready.set_exception(
                        WorkerError(f"the speech worker on core {core} did not start: {error}")
                    )
                    return
                fault = error.fault if isinstance(error, WorkerDiedError) else Fault.DIED
                self._metrics.worker_restarts.labels(fault.value).inc()
                was_warm = self._pids.pop(core, None) is not None
                backoff = _FIRST_BACKOFF if was_warm else min(2 * backoff, _LONGEST_BACKOFF)
                log.error("worker replaced", core=core, reason=str(error), after=backoff)
                if not was_warm:
                    await asyncio.sleep(backoff)

    async def _live(self, core: int, ready: asyncio.Future[None]) -> None:
        """The life of one worker. Leaves only by WorkerDiedError, WorkerError or OSError."""
        worker = await WorkerProcess.start(core)
        try:
            for call in self._warm:
                answer = await worker.call(call, WARM_DEADLINE, self._most_memory)
                if isinstance(answer, Raised):
                    raise WorkerError(f"{call.target}: {answer.error}: {answer.message}")
            self._weigh(core, worker)  # or it would be replaced after each job, for ever
            self._pids[core] = worker.pid
            log.info("worker ready", core=core, pid=worker.pid)
            if not ready.done():
                ready.set_result(None)
            while True:
                ticket = await self._next(worker)
                batch = ticket.priority is Priority.BATCH
                self._batches += batch
                try:
                    await self._do(worker, ticket)
                finally:
                    self._batches -= batch
                self._weigh(core, worker)
        except WorkerDiedError as error:
            if error.fault is not Fault.DIED:
                raise
            raise WorkerDiedError(f"{error} ({await worker.ending()})") from error
        finally:
            await worker.stop()

    def _weigh(self, core: int, worker: WorkerProcess) -> None:
        """Note what a worker holds between two jobs; raises WorkerDiedError if it is too much."""
        held = worker.memory
        self._metrics.worker_memory.labels(str(core)).set(held)
        if self._most_memory is not None and held > self._most_memory:
            raise WorkerDiedError(too_much(held, self._most_memory), Fault.MEMORY)

    async def _do(self, worker: WorkerProcess, ticket: _Ticket) -> None:
        job = ticket.job
        ticket.impatience.cancel()
        try:
            answer = await worker.call(ticket.call, job.deadline, self._most_memory)
        except WorkerDiedError as error:
            if ticket.tried:
                self._fail(ticket, "error", f"{error}, twice")
            elif not ticket.done.done():
                ticket.tried = True
                self._put(ticket)
            raise
        except asyncio.CancelledError:
            self._fail(ticket, "error", _STOPPING)
            raise
        self._metrics.worker_job_seconds.labels(job.name).observe(answer.seconds)
        if isinstance(answer, Raised):
            log.error(
                "worker job failed", job=job.name, error=answer.error, where=answer.where,
                pii_detail=answer.message,
            )  # fmt: skip
            self._fail(ticket, "error", f"{answer.error} (at {answer.where})")
        elif not ticket.done.done():
            self._count(job, "ok")
            ticket.done.set_result(answer.result)
