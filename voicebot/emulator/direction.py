"""Directing a running emulator over HTTP: its faults, delays and replies, its records, its page.

=======  =======================  =====================================================
GET      /                        what this is, in words
GET      /_emulator/faults        the faults of the moment, and how often each struck
POST     /_emulator/faults        inject one: ``{"service", "kind", "times", "moment"}``
DELETE   /_emulator/faults        mend everything, or ``?service=``
POST     /_emulator/replies       what the model answers: a list of ``{"pattern", "content" |
                                  "data", "times"}``; replaces the earlier list
POST     /_emulator/latency       how long each service takes from now on: a table such as
                                  ``{"chat_first_token": {"p50": 3}}``; what it leaves out
                                  takes no time
GET      /_emulator/delays        ``?since=&step=&tag=``: the delay of each answer
GET      /_emulator/open          what is being served, by service
=======  =======================  =====================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from voicebot.emulator import faults
from voicebot.emulator.brain import Reply
from voicebot.emulator.faults import Fault, FaultError, Kind, Service, Vendor
from voicebot.emulator.latency import DRAWN, LatencyError, Step, parse
from voicebot.emulator.parts import Parts

Handler = Callable[[web.Request], Awaitable[web.Response]]


Inject = Callable[[Fault], Awaitable[None]]
Mend = Callable[[Service | None], Awaitable[None]]
Url = Callable[[Vendor | None], str]
"""Base address of a vendor, or of the direction."""


def add_routes(app: web.Application, parts: Parts, *, inject: Inject, mend: Mend, url: Url) -> None:
    """Serve the table above: *parts* are looked at and set, the rest is done by these three."""
    direction = _Direction(parts, inject, mend, url)
    app.router.add_get("/", direction.page)
    app.router.add_get("/_emulator/faults", direction.faults)
    app.router.add_post("/_emulator/faults", direction.inject)
    app.router.add_delete("/_emulator/faults", direction.mend)
    app.router.add_post("/_emulator/replies", direction.replies)
    app.router.add_post("/_emulator/latency", direction.latency)
    app.router.add_get("/_emulator/delays", direction.delays)
    app.router.add_get("/_emulator/open", direction.open)


class _Direction:
    def __init__(self, parts: Parts, inject: Inject, mend: Mend, url: Url) -> None:
        self._parts = parts
        self._inject = inject
        self._mend = mend
        self._url = url

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=describe(self._parts, self._url))

    async def faults(self, request: web.Request) -> web.Response:
        current = self._parts.faults
        struck = {
            f"{service.value} {kind.value}": count
            for service in Service
            for kind in Kind
            if (count := current.struck(service, kind))
        }
        listed = [fault.as_json() for fault in current.current()]
        return web.json_response({"faults": listed, "struck": struck})

    async def inject(self, request: web.Request) -> web.Response:
        try:
            fault = faults.parse(await _json(request))
        except FaultError as error:
            return _complaint(str(error))
        await self._inject(fault)
        return web.json_response(fault.as_json())

    async def mend(self, request: web.Request) -> web.Response:
        name = request.query.get("service")
        try:
            service = None if name is None else Service(name)
        except ValueError:
            names = ", ".join(one.value for one in Service)
            return _complaint(f"no service {name!r}; there are {names}")
        await self._mend(service)
        return web.json_response({})

    async def replies(self, request: web.Request) -> web.Response:
        try:
            data = await _json(request)
            replies = [_reply(entry) for entry in data]
        except (FaultError, TypeError) as error:
            return _complaint(str(error))
        self._parts.brain.scripted[:] = replies
        return web.json_response({"replies": len(replies)})

    async def latency(self, request: web.Request) -> web.Response:
        try:
            self._parts.latency.profile = parse(await _json(request))
        except (FaultError, LatencyError) as error:
            return _complaint(str(error))
        return web.json_response({})

    async def delays(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            step = Step(query["step"]) if "step" in query else None
            since = int(query.get("since", "0"))
        except ValueError as error:
            return _complaint(str(error))
        records = self._parts.records
        found = [d.as_json() for d in records.delays(since, step, query.get("tag", ""))]
        return web.json_response({"delays": found, "next": records.next_number})

    async def open(self, request: web.Request) -> web.Response:
        return web.json_response(
            {service.value: len(self._parts.open_exchanges(service)) for service in Service}
        )


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise FaultError("the body is not valid JSON") from None


def _reply(entry: Any) -> Reply:
    if not isinstance(entry, dict):
        raise TypeError("a reply is an object with content or data")
    reply = Reply(**entry)
    try:
        re.compile(reply.pattern)
    except re.error as error:
        raise TypeError(f"pattern {reply.pattern!r}: {error}") from None
    return reply


def _complaint(text: str) -> web.Response:
    return web.json_response({"error": text}, status=400)


def describe(parts: Parts, url: Url) -> str:
    """What is emulated and how, in words."""
    profile = parts.latency.profile
    lines = [
        "voicebot emulator of Deepgram, Groq and OpenAI. Not the real services.",
        "",
        f"recognises  {parts.recogniser.about}",
        f"speaks      {parts.sentences.speaker.about}",
        "thinks      keyword rules, no model",
        "",
        "delays in milliseconds (p50, p95, p99)",
    ]
    for step in DRAWN:
        spread = profile.of(step)
        figures = [round(1000 * spread.quantile(share)) for share in (0.5, 0.95, 0.99)]
        lines.append(f"  {step.value:<20} {figures[0]:>5} {figures[1]:>5} {figures[2]:>5}")
    lines += [
        f"  then {profile.chat_tokens_per_second:g} tokens/s, "
        f"speech at {profile.speech_times_real_time:g} times real time",
        "",
        *(f"{vendor.value:<11} {url(vendor)}" for vendor in Vendor),
        f"{'direction':<11} {url(None)}/_emulator/{{faults,replies,latency,delays,open}}",
        "",
    ]
    return "\n".join(lines)
