"""Sentences that no script has, and that call after call says: rendered, and played as prompts are.

A language model finds the same words for the same trouble. A sentence that :data:`CALLS` different
calls have said is rendered in the voice of the prompts, and from then on found in memory.

Nothing about a caller may be kept that way. What has been said by fewer calls is counted by a
fingerprint under a key that is thrown away with the process: the words are nowhere. A sentence is
never learnt that holds

* a digit, or a number in words: telephone numbers, dates;
* a prompt of the script with its blanks filled in;
* a word of the name that its caller gave;
* a capital within it, or a first word with a comma behind it, that the script does not have: names,
  places.

Learnt sentences are files beside the prompts, in ``learned/``; the one used longest ago makes room
for the next, and one that was not used for :data:`DAYS` goes at a start.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import string
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from voicebot.dialogue import sentences
from voicebot.dialogue.script import Script, blanks_in
from voicebot.dialogue.words import tokens
from voicebot.prompts.cache import PromptCache, PromptError, say
from voicebot.prompts.studio import Studio
from voicebot.providers.interfaces import ProviderError, TextToSpeech
from voicebot.telemetry.metrics import Metrics
from voicebot.workers.pool import WorkerError

log = structlog.get_logger(__name__)

CALLS: Final = 3
"""Different calls that must have said it."""
MOST: Final = 200
"""Sentences learnt: some 8 MB."""
MOST_COUNTED: Final = 4000
"""Fingerprints; the one seen longest ago is forgotten."""
MOST_WAITING: Final = 8
MOST_CHARACTERS: Final = 300
DAYS: Final = 30.0
FOLDER: Final = "learned"
_CAPITAL = re.compile(r"(?:(?<![.!?…])\s[\"«(]*\s?|['’-])([^\W\d_]*[A-ZÀ-ÖØ-Þ][^\W\d_]*)")
_ADDRESSED = re.compile(r"\W*([^\W\d_]+)\s*,")


class Privacy:
    """Which sentences may be kept, by the script alone."""

    def __init__(self, script: Script) -> None:
        texts = [*script.prompts.values(), *(one.solution for one in script.problems.values())]
        said = [sentence for text in texts for sentence in sentences.split(text)]
        self._filled = [_pattern(sentence) for sentence in said if blanks_in(sentence)]
        self._capitals = {word for sentence in said for word in _capitals(sentence)}
        self._words = {word for sentence in said for word in tokens(sentence)}
        self._numbers = script.numbers

    def allows(self, text: str, about_caller: Iterable[str]) -> bool:
        """Whether *text* says nothing of a person; *about_caller*: what is known of this one."""
        if len(text) > MOST_CHARACTERS or any(c.isdigit() for c in text):
            return False
        words = tokens(text)
        if any(len(groups) > 1 for groups, _, _ in self._numbers.groups(words)):
            return False
        if (addressed := _ADDRESSED.match(text)) and not self._words.issuperset(
            tokens(addressed[1])
        ):
            return False
        if not self._capitals.issuperset(_capitals(text)):
            return False
        if {word for known in about_caller for word in tokens(known)} & set(words):
            return False
        return not any(pattern.fullmatch(text) for pattern in self._filled)


def files_that_say(directory: Path, says: Callable[[str], bool]) -> list[Path]:
    """What is kept below *directory* (``CACHE_DIR``), of any voice, of the sentences that *says* is
    true of; and of those whose words nobody can tell. They may go while a service runs, which is
    then told to let go of them (:meth:`Learned.release`)."""
    found = []
    for path in (directory / FOLDER).glob("*.slin"):
        note = path.with_suffix(".json")
        try:
            text = json.loads(note.read_text(encoding="utf-8"))["text"]
        except (OSError, ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str) or says(text):
            found += [path, note]
    return sorted(path for path in found if path.exists())


class Learned:
    """The prompts, and what is learnt beside them. Owned by the event loop.

    *tts* speaks as the prompts do. :meth:`load` before the first call, :meth:`close` after the
    last.
    """

    def __init__(
        self,
        prompts: PromptCache,
        directory: Path,
        tts: TextToSpeech,
        studio: Studio,
        privacy: Privacy,
        metrics: Metrics,
    ) -> None:
        self._prompts = prompts
        self._kept = PromptCache(directory / FOLDER, tts.voice)
        self._tts = tts
        self._studio = studio
        self._privacy = privacy
        self._metrics = metrics
        self._order: OrderedDict[str, None] = OrderedDict()
        self._used: set[str] = set()
        self._calls: OrderedDict[bytes, set[bytes]] = OrderedDict()
        self._key = os.urandom(32)
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Read what earlier runs have learnt. Touches the disk."""
        self._kept.sweep(DAYS)
        texts = [text for text in self._kept.kept() if self._privacy.allows(text, ())]
        self._kept.load(texts[-MOST:])
        self._order = OrderedDict.fromkeys(t for t in texts if self._kept.get(t) is not None)
        self._metrics.learned_sentences.set(len(self._order))

    def get(self, text: str) -> bytes | None:
        """Slin of *text*, if it is at hand. From memory; free on the event loop."""
        audio = self._prompts.get(text)
        if audio is None and (audio := self._kept.get(text)) is not None:
            self._order.move_to_end(text)
            self._used.add(text)
        return audio

    def spoken(self, text: str, call_id: str, about_caller: Iterable[str]) -> None:
        """A call has said *text*, which was not at hand; *about_caller* is what it knows."""
        if text in self._order or text in self._waiting:
            return
        if not self._privacy.allows(text, about_caller):
            return
        mark = self._fingerprint(text)
        calls = self._calls.setdefault(mark, set())
        calls.add(self._fingerprint(call_id))
        self._calls.move_to_end(mark)
        if len(self._calls) > MOST_COUNTED:
            self._calls.popitem(last=False)
        if len(calls) < CALLS or len(self._waiting) >= MOST_WAITING:
            return
        del self._calls[mark]
        self._waiting[text] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._render(), name="learning")

    async def release(self) -> int:
        """Forget the sentences whose files somebody has removed; how many there were."""
        gone = await asyncio.to_thread(self._kept.gone)
        self._kept.release(gone)
        for text in gone:
            self._order.pop(text, None)
            self._used.discard(text)
        self._metrics.learned_sentences.set(len(self._order))
        log.info("learnt sentences let go", count=len(gone))
        return len(gone)

    async def close(self) -> None:
        """Stop, and note on disk what was used."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._kept.used, sorted(self._used))

    async def _render(self) -> None:
        """One after the other: nobody waits for any of them."""
        while self._waiting:
            text = next(iter(self._waiting))
            try:
                await self._kept.add(text, await say(self._tts, text, self._studio))
            except (ProviderError, PromptError, WorkerError) as error:
                log.warning("sentence not learnt", reason=str(error), pii_text=text)
            else:
                self._order[text] = None
                if len(self._order) > MOST:
                    oldest, _ = self._order.popitem(last=False)
                    self._kept.release([oldest])  # with its place in the order, not a thread later
                    await asyncio.to_thread(self._kept.drop, oldest)
                self._metrics.learned_sentences.set(len(self._order))
                log.info("sentence learnt", count=len(self._order), pii_text=text)
            finally:
                del self._waiting[text]

    def _fingerprint(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=12).digest()


def _capitals(text: str) -> list[str]:
    return _CAPITAL.findall(text)


def _pattern(sentence: str) -> re.Pattern[str]:
    """What *sentence* can be once its blanks are filled in."""
    parts = string.Formatter().parse(sentence)
    return re.compile(
        "".join(
            re.escape(text) + (".*" if blank is not None else "") for text, blank, _, _ in parts
        ),
        re.S,
    )
