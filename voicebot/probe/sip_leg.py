"""One outgoing call by SIP and RTP over UDP: what a telephone on this host does, and no more.

It follows RFC 3261 as far as a call to an exchange on the same host needs: requests are repeated
until they are answered (17.1.1.2), a 200 is acknowledged each time it comes (13.2.2.4), a request
that is repeated gets its answer again. It does not register, authenticate, fork or route: Asterisk
knows it by its address. Audio is A-law, a packet each 20 ms, from the answer to the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from voicebot.probe.media import Address, Media
from voicebot.simulator.leg import End, Handset
from voicebot.simulator.tape import Tape
from voicebot.sip.message import (
    Message,
    audio_address,
    between,
    host_and_port,
    token,
    via_address,
)
from voicebot.sip.rtp import PCMA

T1: Final = 0.5  # first repetition of an unanswered request, RFC 3261 17.1.1.1
LAST_WORD: Final = 1.0
"""Seconds that a BYE or CANCEL of ours may take to be answered, then the ports close anyway."""


class SipLeg(asyncio.DatagramProtocol):
    """A call to *number* at *server*, from *source*. :func:`dial` opens it; await ``ended``."""

    def __init__(
        self,
        number: str,
        server: Address,
        handset: Handset,
        tape: Tape,
        on_answered: Callable[[float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handset = handset
        self._tape = tape
        self._on_answered = on_answered
        self._server = server
        self._target = f"sip:{number}@{server[0]}:{server[1]}"
        self._call_id = token()
        self._tag = token()
        self._remote = f"<{self._target}>"
        self._cseq = 1
        self._branch = token("z9hG4bK")  # of the INVITE
        self._repeating: dict[str, asyncio.TimerHandle] = {}
        self._nothing_open = asyncio.Event()
        """Each request of ours has been answered."""
        self._media: Media | None = None
        self.ended: asyncio.Future[End] = self._loop.create_future()
        """Done when the call is over, or was never answered (``End.LOST``, see ``fault``)."""
        self.fault = ""
        self.cause: int | None = None
        """Of the other side's BYE: Q.850's, in its Reason header."""
        self.answered = False
        """The call is, or was, up."""

    async def open(self, source: str) -> None:
        """Send the INVITE. Raises OSError."""
        self._media = await Media.open(source, self._handset, self._tape, self.hang_up)
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=(source, 0)
        )
        self._transport = transport
        self._local: Address = self._transport.get_extra_info("sockname")
        offer = _offer(source, self._media.port)
        self._send(self._request("INVITE", self._branch, offer), self._server)

    def hang_up(self) -> None:
        """BYE when the call is up, CANCEL before. Idempotent."""
        if self.ended.done():
            return
        if self.answered:
            self._cseq += 1
            self._send(self._request("BYE", token("z9hG4bK")), host_and_port(self._target))
            self._end(End.CALLER)
        else:
            self._stop_repeating()
            self._send(self._request("CANCEL", self._branch), self._server)
            self._end(End.LOST, self.fault or "it was not answered")

    async def close(self) -> None:
        """Free the ports, a last word of ours answered or not."""
        self.hang_up()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nothing_open.wait(), LAST_WORD)
        self._stop_repeating()
        if self._media is not None:
            self._media.close()
        self._transport.close()

    def _end(self, end: End, fault: str = "") -> None:
        if self._media is not None:
            self._media.stop()
        if not self.ended.done():
            self.fault = fault
            self.ended.set_result(end)

    # -- messages out

    def _request(self, method: str, branch: str, body: str = "") -> Message:
        host, port = self._local
        contact = f"sip:probe@{host}:{port}"
        headers = [
            ("via", f"SIP/2.0/UDP {host}:{port};rport;branch={branch}"),
            ("max-forwards", "70"),
            ("from", f"<{contact}>;tag={self._tag}"),
            ("to", self._remote),
            ("call-id", self._call_id),
            ("cseq", f"{self._cseq} {method}"),
            ("contact", f"<{contact}>"),
            ("user-agent", "voicebot-probe"),
        ]
        if body:
            headers.append(("content-type", "application/sdp"))
        return Message(f"{method} {self._target} SIP/2.0", headers, body)

    def _send(self, request: Message, to: Address, wait: float = T1) -> None:
        """Send, and again at doubling intervals until it is answered."""
        self._transport.sendto(request.encode(), to)
        self._nothing_open.clear()
        self._repeating[request.method] = self._loop.call_later(
            wait, self._send, request, to, 2 * wait
        )

    def _stop_repeating(self, method: str | None = None) -> None:
        for name in [method] if method is not None else list(self._repeating):
            if (timer := self._repeating.pop(name, None)) is not None:
                timer.cancel()
        if not self._repeating:
            self._nothing_open.set()

    def _respond(self, request: Message, status: str, body: str = "") -> None:
        copied = ("via", "from", "to", "call-id", "cseq", "record-route")
        headers = [(name, value) for name, value in request.headers if name in copied]
        host, port = self._local
        headers.append(("contact", f"<sip:probe@{host}:{port}>"))
        if body:
            headers.append(("content-type", "application/sdp"))
        answer = Message(f"SIP/2.0 {status}", headers, body)
        self._transport.sendto(answer.encode(), via_address(request))

    # -- messages in

    def datagram_received(self, data: bytes, addr: Address) -> None:
        message = Message.parse(data)
        if message.get("call-id") != self._call_id:
            return  # a keep-alive, or somebody else's
        try:
            status = message.status
            if status is None:
                self._request_received(message)
            else:
                self._response_received(message, status)
        except (ValueError, IndexError):
            self.fault = f"{addr[0]}:{addr[1]} sent what is no SIP: {message.start[:60]!r}"

    def error_received(self, exc: Exception) -> None:
        """ICMP: nobody listens there. The INVITE is repeated all the same, a restart is short."""
        self.fault = f"{self._server[0]}:{self._server[1]}: {exc}"

    def _response_received(self, response: Message, status: int) -> None:
        self._stop_repeating(response.method)
        if response.method != "INVITE" or status < 200:
            return
        self._remote = response.get("to")
        if status < 300:
            self._accepted(response)
            return
        self._transport.sendto(self._request("ACK", self._branch).encode(), self._server)
        self._end(End.LOST, f"Asterisk answers {response.start.partition(' ')[2]}")

    def _accepted(self, response: Message) -> None:
        self._target = between(r"<([^>]+)>", response.get("contact")) or self._target
        ack = self._request("ACK", token("z9hG4bK"))
        self._transport.sendto(ack.encode(), host_and_port(self._target))
        if self.answered:
            return
        if self.ended.done():  # it crossed our CANCEL
            self._cseq += 1
            self._send(self._request("BYE", token("z9hG4bK")), host_and_port(self._target))
            return
        self.answered = True
        assert self._media is not None, "opened before the INVITE went out"
        self._on_answered(self._loop.time())
        self._media.start(audio_address(response.body))

    def _request_received(self, request: Message) -> None:
        match request.method:
            case "ACK":
                pass
            case "BYE":
                self._respond(request, "200 OK")
                cause = between(r"cause=(\d+)", request.get("reason"))
                self.cause = int(cause) if cause else None
                self._end(End.BOT)
            case "INVITE" if self._media is not None:  # new media in mid-call
                self._respond(request, "200 OK", _offer(self._local[0], self._media.port))
                self._media.start(audio_address(request.body))
            case _:
                self._respond(request, "200 OK")


def _offer(host: str, port: int) -> str:
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {PCMA}",
        f"a=rtpmap:{PCMA} PCMA/8000",
        "a=ptime:20",
        "a=sendrecv",
    ]
    return "\r\n".join([*lines, ""])
