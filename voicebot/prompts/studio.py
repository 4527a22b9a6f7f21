"""Where prompts get their finish: whole clips, decoded and made equally loud, in the workers."""

from __future__ import annotations

from voicebot.workers.jobs import CLIP, LEVEL, Priority
from voicebot.workers.pool import WorkerPool


class Studio:
    """Work on clips that nobody waits for. Methods raise WorkerError."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    async def level(self, pcm: bytes) -> bytes:
        """*pcm* (slin) as loud as every prompt (see :mod:`voicebot.audio.loudness`)."""
        made = await self._pool.run(LEVEL, pcm, priority=Priority.BATCH)
        assert isinstance(made, bytes), "what the job returns"
        return made

    async def clip(self, data: bytes) -> bytes:
        """Slin of a sound file, just as loud."""
        made = await self._pool.run(CLIP, data, priority=Priority.BATCH)
        assert isinstance(made, bytes), "what the job returns"
        return made
