"""The reference document's own design, so that it can be measured beside ours.

Written from its description (§7, §8 and §12 to §14): each frame is passed to Deepgram as it comes;
a final transcript is answered by one whole reply of the language model, then one whole MP3 of the
voice, which a pool of processes decodes with pydub; then the frames go out. Nothing overlaps.
Where the description could not work at all, it gets the benefit: AudioSocket is framed as Asterisk
frames it, the kits are the asynchronous ones of today instead of calls that stop the event loop,
the models are some that exist, and frames are paced instead of written all at once.

``python -m bench.reference_design`` prints the port that it listens on, and runs until it is told
to stop. It reads the same settings for addresses and keys as the service.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import struct
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import uvloop

FRAME_BYTES, FRAME_SECONDS = 320, 0.02
KIND_HANGUP, KIND_AUDIO = 0x00, 0x10
POOL_WORKERS = 3
PROMPT = (
    "Tu es un agent SAV professionnel et courtois. Demande au client s'il a un problème avec "
    "Internet ou Mobile. Reste concis (1-2 phrases max)."
)
WELCOME = "Bonjour, bienvenue au service après-vente. Quel est votre problème ?"


def decode(mp3: bytes) -> bytes:
    """§10.1: MP3 at 24 kHz to slin."""
    from pydub import AudioSegment
    from pydub.effects import normalize

    audio = AudioSegment.from_file(io.BytesIO(mp3), format="mp3")
    audio = audio.set_channels(1).set_frame_rate(8000).set_sample_width(2)
    pcm: bytes = normalize(audio, headroom=0.1).raw_data
    return pcm


class Kits:
    """The vendors' clients, one each for the process."""

    def __init__(self) -> None:
        from deepgram import AsyncDeepgramClient
        from deepgram.environment import DeepgramClientEnvironment
        from groq import AsyncGroq
        from openai import AsyncOpenAI

        web = os.environ["DEEPGRAM_BASE_URL"]
        socket = web.replace("http", "ws", 1)
        self.deepgram = AsyncDeepgramClient(
            api_key=os.environ["DEEPGRAM_API_KEY"],
            environment=DeepgramClientEnvironment(
                base=web, production=socket, agent=socket, agent_rest=web
            ),
        )
        self.groq = AsyncGroq(
            api_key=os.environ["GROQ_API_KEY"], base_url=os.environ["GROQ_BASE_URL"]
        )
        self.openai = AsyncOpenAI(
            api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ["OPENAI_BASE_URL"]
        )

    async def close(self) -> None:
        """Of the measuring side: the reference never ends."""
        await self.groq.close()
        await self.openai.close()

    async def answer(self, text: str) -> str:
        """§13.2: the whole reply."""
        reply = await self.groq.chat.completions.create(
            model="openai/gpt-oss-20b",
            messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": text}],
            temperature=0.7,
            max_tokens=150,
        )
        return (reply.choices[0].message.content or "").strip() or "Pouvez-vous répéter ?"

    async def speak(self, text: str) -> bytes:
        """§14.2: the whole MP3."""
        speech = await self.openai.audio.speech.create(
            model="tts-1", voice="nova", input=text, response_format="mp3"
        )
        return speech.content


class Call:
    """§8.3: one connection."""

    def __init__(
        self,
        kits: Kits,
        pool: ProcessPoolExecutor,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._kits, self._pool, self._reader, self._writer = kits, pool, reader, writer
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._output: deque[bytes] = deque()

    async def run(self) -> None:
        tasks = [
            asyncio.create_task(work())
            for work in (self._receive, self._send, self._listen, self._welcome)
        ]
        try:
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.close()

    async def _receive(self) -> None:
        try:
            while True:
                kind, size = struct.unpack(">BH", await self._reader.readexactly(3))
                payload = await self._reader.readexactly(size)
                if kind == KIND_HANGUP:
                    return
                if kind == KIND_AUDIO:
                    self._input.put_nowait(payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            chunk = self._output.popleft() if self._output else bytes(FRAME_BYTES)
            self._writer.write(struct.pack(">BH", KIND_AUDIO, len(chunk)) + chunk)
            await self._writer.drain()
            due += FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _welcome(self) -> None:
        await self._say(WELCOME)

    async def _listen(self) -> None:
        options: dict[str, Any] = {
            "model": "nova-3",
            "language": "fr",
            "encoding": "linear16",
            "sample_rate": 8000,
            "channels": 1,
            "interim_results": "true",
            "punctuate": "true",
            "vad_events": "true",
        }
        async with self._kits.deepgram.listen.v1.connect(**options) as socket:
            sending = asyncio.create_task(self._pass_on(socket))
            try:
                async for message in socket:
                    kind = getattr(message, "type", None)
                    if kind == "SpeechStarted":
                        self._output.clear()
                    elif kind == "Results" and message.is_final:
                        text = message.channel.alternatives[0].transcript
                        if text:
                            await self._say(await self._kits.answer(text))
            finally:
                sending.cancel()

    async def _pass_on(self, socket: Any) -> None:
        while True:
            await socket.send_media(await self._input.get())

    async def _say(self, text: str) -> None:
        mp3 = await self._kits.speak(text)
        loop = asyncio.get_running_loop()
        pcm = await loop.run_in_executor(self._pool, decode, mp3)
        self._output.extend(
            pcm[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            for at in range(0, len(pcm), FRAME_BYTES)
        )


async def main() -> None:
    kits = Kits()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ProcessPoolExecutor(POOL_WORKERS) as pool:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Call(kits, pool, reader, writer).run()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        server.close()


if __name__ == "__main__":
    uvloop.run(main())
