"""Scrapes a service again and again, as a process of its own, and tells when: what Prometheus does.

A thread of the callers' process would not do: reading and decoding the answer, it would keep their
event loop from the interpreter, and their own lateness would be counted as the service's.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from asyncio.subprocess import PIPE


async def scrape_until_cancelled(url: str, period: float, times: list[tuple[float, float]]) -> None:
    """Add to *times* the beginning and the end of each scrape, a *period* (seconds) apart, on the
    clock of :func:`time.monotonic`. Raises OSError once *url* cannot be read any more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.scraper", url, str(period), stdout=PIPE
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            began, ended = map(float, line.split())
            times.append((began, ended))
        raise OSError(f"{url} could not be scraped; the reason is above")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def main(url: str, period: float) -> None:
    while True:
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
        print(began, time.monotonic(), flush=True)
        time.sleep(period)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
