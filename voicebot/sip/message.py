"""SIP messages: parse, build, and pick apart. Knows nothing of calls, time or the network."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Self


@dataclass(slots=True)
class Message:
    """A SIP request or response: start line, headers in order, body."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, datagram: bytes) -> Self:
        head, _, body = datagram.decode("utf-8", errors="replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, [(name.strip().lower(), value.strip()) for name, _, value in pairs], body)

    def encode(self) -> bytes:
        headers = [*self.headers, ("content-length", str(len(self.body.encode())))]
        lines = [self.start, *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", self.body]).encode()

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def get(self, name: str) -> str:
        """The first header of that (lower-case) name, or nothing."""
        return next(iter(self.all(name)), "")

    @property
    def status(self) -> int | None:
        """Of a response; None for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers."""
        return self.get("cseq").split()[-1]

    @property
    def branch(self) -> str:
        """Names the transaction."""
        return between(r"branch=([^;,\s]+)", self.get("via"))

    @property
    def cseq(self) -> int:
        return int(self.get("cseq").split()[0])


def between(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def token(prefix: str = "") -> str:
    return f"{prefix}{random.getrandbits(64):016x}"


def host_and_port(uri: str) -> tuple[str, int]:
    """Of a SIP URI; 5060 when it names no port."""
    host, _, port = between(r"sip:(?:[^@>]*@)?([^;>?]+)", uri).partition(":")
    return host, int(port or 5060)


def via_address(request: Message) -> tuple[str, int]:
    """Where the answer to *request* goes."""
    host, _, port = request.get("via").split()[1].split(";")[0].partition(":")
    return host, int(port or 5060)


def audio_address(description: str) -> tuple[str, int]:
    """Where a session description wants the audio."""
    host = between(r"(?m)^c=IN IP4 (\S+)", description)
    return host, int(between(r"(?m)^m=audio (\d+)", description))
