"""A small SIP telephone for tests: UDP on loopback, one A-law stream a call.

It can call and be called, hang up, press keys, ring without answering, and refuse. It follows
RFC 3261 as far as a quiet loopback needs: requests are repeated until answered (17.1), a 200
until acknowledged (13.3.1.4), repeated requests get the same answer again. It does not
register, authenticate, fork or route: Asterisk knows it by its address.
"""

from __future__ import annotations

import asyncio
import enum
from types import TracebackType
from typing import Self

from tests.support.rtp import TELEPHONE_EVENT, RtpStream
from voicebot.sip.message import (
    Message,
    audio_address,
    between,
    host_and_port,
    token,
    via_address,
)
from voicebot.sip.rtp import PCMA

T1 = 0.5  # first repetition of an unanswered message, RFC 3261 17.1.1.1
REPETITIONS = 6


class Manner(enum.Enum):
    """What a telephone does when it is called."""

    ANSWER = "answer at once"
    RING = "ring, until the caller gives up"
    BUSY = "refuse as busy"


class CallRefusedError(Exception):
    """The INVITE got a final answer other than 200. ``status`` is its code."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


class SipCall:
    """One call of a telephone, either way. Times are ``loop.time()``."""

    def __init__(self, phone: SipPhone, media: RtpStream, call_id: str) -> None:
        self.phone = phone
        self.media = media
        self.id = call_id
        self.local = ""  # our From or To header, with our tag
        self.remote = ""  # theirs, with their tag once known
        self.target = ""  # where requests inside the call go
        self.cseq = 0
        self.invite = Message("")  # ours or theirs
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.reason = ""  # the Reason header of their BYE or CANCEL
        self.refusal: CallRefusedError | None = None
        self._settled = asyncio.Event()  # answered, or over without
        self._over = asyncio.Event()

    async def answered(self, within: float = 5.0) -> float:
        """Until the call is up; the time it was. Raises CallRefusedError or TimeoutError."""
        async with asyncio.timeout(within):
            await self._settled.wait()
        if self.refusal is not None:
            raise self.refusal
        assert self.answered_at is not None, "the call was given up before it was answered"
        return self.answered_at

    async def ended(self, within: float = 10.0) -> float:
        """Until the call is over, whoever ended it; the time it was."""
        async with asyncio.timeout(within):
            await self._over.wait()
        assert self.ended_at is not None
        return self.ended_at

    def hang_up(self) -> None:
        """BYE when the call is up, CANCEL while our INVITE waits; nothing when it is over."""
        self.phone.hang_up(self)

    # -- for the telephone

    def mark_answered(self, now: float, description: str) -> None:
        if self.answered_at is None:
            self.answered_at = now
        self.media.start(audio_address(description))
        self._settled.set()

    def mark_ended(self, now: float, refusal: CallRefusedError | None = None) -> None:
        if self.ended_at is None:
            self.ended_at, self.refusal = now, refusal
        self._settled.set()
        self._over.set()


class SipPhone(asyncio.DatagramProtocol):
    """Async context manager: a telephone with a port of its own; calls end when it closes.

    *server* is Asterisk's SIP address; None for a telephone that is only called.
    *port* 0 is a free one.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str = "127.0.0.1",
        server: tuple[str, int] | None = None,
        manner: Manner = Manner.ANSWER,
        port: int = 0,
    ) -> None:
        self.name = name
        self.address = address
        self.manner = manner
        self.port = port
        self.calls: list[SipCall] = []
        self._server = server
        self._incoming: asyncio.Queue[SipCall] = asyncio.Queue()
        self._answers: dict[tuple[str, str], Message] = {}  # by branch and method of the request
        self._repeating: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._setting_up: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.address, self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for call in self.calls:
            self.hang_up(call)
        if any(call.ended_at is not None for call in self.calls):
            await asyncio.sleep(0.05)  # a last BYE is answered before the port closes
        for timer in self._repeating.values():
            timer.cancel()
        for task in self._setting_up:
            task.cancel()
        for call in self.calls:
            await call.media.close()
        self._transport.close()

    # -- calling

    async def dial(self, number: str, within: float = 5.0) -> SipCall:
        """Call *number* and wait for the answer. Raises CallRefusedError or TimeoutError."""
        call = await self.start_call(number)
        await call.answered(within)
        return call

    async def start_call(self, number: str) -> SipCall:
        """Call *number*; ``answered`` of the result says what came of it."""
        assert self._server is not None, f"telephone {self.name} has no server to call by"
        call = SipCall(self, await RtpStream.open(self.address), token() + "@" + self.address)
        call.target = f"sip:{number}@{self._server[0]}:{self._server[1]}"
        call.local = f"<{self._uri()}>;tag={token()}"
        call.remote = f"<{call.target}>"
        call.cseq = 1
        call.invite = self._request(call, "INVITE", body=self._offer(call))
        self.calls.append(call)
        self._send_repeatedly(call.invite, self._server)
        return call

    async def next_call(self, within: float = 10.0) -> SipCall:
        """The next call that rings here, answered or not according to ``manner``."""
        async with asyncio.timeout(within):
            return await self._incoming.get()

    def hang_up(self, call: SipCall) -> None:
        if call.ended_at is not None:
            return
        if call.answered_at is not None:
            self._bye(call)
        elif call.invite.start.startswith("INVITE") and call in self._calling():
            cancel = self._request(call, "CANCEL", branch=call.invite.branch)
            self._send_repeatedly(cancel, host_and_port(call.target))
        call.mark_ended(self._loop.time())

    def _bye(self, call: SipCall) -> None:
        call.cseq += 1
        self._send_repeatedly(self._request(call, "BYE"), host_and_port(call.target))

    def _calling(self) -> list[SipCall]:
        return [call for call in self.calls if call.invite.get("from") == call.local]

    # -- messages out

    def _uri(self) -> str:
        return f"sip:{self.name}@{self.address}:{self.port}"

    def _request(self, call: SipCall, method: str, *, branch: str = "", body: str = "") -> Message:
        via = f"SIP/2.0/UDP {self.address}:{self.port};rport;branch={branch or token('z9hG4bK')}"
        headers = [
            ("via", via),
            ("max-forwards", "70"),
            ("from", call.local),
            ("to", call.remote),
            ("call-id", call.id),
            ("cseq", f"{call.cseq} {method}"),
            ("contact", f"<{self._uri()}>"),
        ]
        if body:
            headers.append(("content-type", "application/sdp"))
        return Message(f"{method} {call.target} SIP/2.0", headers, body)

    def _offer(self, call: SipCall) -> str:
        lines = [
            "v=0",
            f"o=- 1 1 IN IP4 {self.address}",
            "s=-",
            f"c=IN IP4 {self.address}",
            "t=0 0",
            f"m=audio {call.media.port} RTP/AVP {PCMA} {TELEPHONE_EVENT}",
            f"a=rtpmap:{PCMA} PCMA/8000",
            f"a=rtpmap:{TELEPHONE_EVENT} telephone-event/8000",
            f"a=fmtp:{TELEPHONE_EVENT} 0-15",
            "a=ptime:20",
            "a=sendrecv",
        ]
        return "\r\n".join([*lines, ""])

    def _send_repeatedly(self, message: Message, to: tuple[str, int], attempt: int = 0) -> None:
        """Send, and again at doubling intervals until ``_acknowledge`` or the last attempt."""
        self._transport.sendto(message.encode(), to)
        key = (message.branch, message.method)
        if attempt < REPETITIONS:
            self._repeating[key] = self._loop.call_later(
                T1 * 2**attempt, self._send_repeatedly, message, to, attempt + 1
            )

    def _acknowledge(self, message: Message) -> None:
        timer = self._repeating.pop((message.branch, message.method), None)
        if timer is not None:
            timer.cancel()

    def _respond(self, request: Message, status: str, call: SipCall | None, body: str = "") -> None:
        copied = ("via", "from", "call-id", "cseq", "record-route")
        headers = [(name, value) for name, value in request.headers if name in copied]
        headers += [("to", call.local if call else request.get("to"))]
        headers += [("contact", f"<{self._uri()}>")]
        if body:
            headers.append(("content-type", "application/sdp"))
        answer = Message(f"SIP/2.0 {status}", headers, body)
        self._answers[request.branch, request.method] = answer
        self._transport.sendto(answer.encode(), via_address(request))

    # -- messages in

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = Message.parse(data)
        if not data.strip() or not message.get("call-id"):
            return  # a keep-alive
        call = next((c for c in self.calls if c.id == message.get("call-id")), None)
        if message.status is not None:
            if call is not None:
                self._answer_received(call, message, message.status)
        elif message.method != "ACK" and (message.branch, message.method) in self._answers:
            again = self._answers[message.branch, message.method]
            self._transport.sendto(again.encode(), addr)
        else:
            self._request_received(call, message)

    def error_received(self, exc: Exception) -> None:
        """Asterisk is gone: whoever waits for an answer times out, and says for what."""

    def _answer_received(self, call: SipCall, answer: Message, status: int) -> None:
        self._acknowledge(answer)
        if answer.method != "INVITE" or status < 200:
            return
        call.remote = answer.get("to")
        if status < 300:
            call.target = between(r"<([^>]+)>", answer.get("contact")) or call.target
            self._transport.sendto(self._request(call, "ACK").encode(), host_and_port(call.target))
            if call.ended_at is None:
                call.mark_answered(self._loop.time(), answer.body)
            elif call.answered_at is None:  # it crossed our CANCEL
                self._bye(call)
        else:
            refused = self._request(call, "ACK", branch=call.invite.branch)
            self._transport.sendto(refused.encode(), host_and_port(call.target))
            _, code, reason = answer.start.split(" ", 2)
            call.mark_ended(self._loop.time(), CallRefusedError(int(code), reason))

    def _request_received(self, call: SipCall | None, request: Message) -> None:
        match request.method, call:
            case "ACK", _:
                self._acknowledge_answer(request)
            case "INVITE", None:
                task = self._loop.create_task(self._called(request))
                self._setting_up.add(task)
                task.add_done_callback(self._setting_up.discard)
            case "INVITE", SipCall():  # new media or a new connected line, in mid-call
                self._answer(call, request)
            case ("BYE" | "CANCEL") as method, SipCall():
                call.reason = request.get("reason")
                self._respond(request, "200 OK", call)
                if method == "CANCEL" and call.answered_at is None:
                    self._respond(call.invite, "487 Request Terminated", call)
                call.mark_ended(self._loop.time())
            case _:
                self._respond(request, "200 OK" if call else "481 No Such Call", call)

    async def _called(self, invite: Message) -> None:
        # Claimed at once: a repetition of the INVITE must not ring twice.
        self._answers[invite.branch, "INVITE"] = Message("SIP/2.0 100 Trying", invite.headers[:])
        call = SipCall(self, await RtpStream.open(self.address), invite.get("call-id"))
        call.invite = invite
        call.local = f"{invite.get('to')};tag={token()}"
        call.remote = invite.get("from")
        call.target = between(r"<([^>]+)>", invite.get("contact"))
        self.calls.append(call)
        self._incoming.put_nowait(call)
        if self.manner is Manner.BUSY:
            self._respond(invite, "486 Busy Here", call)
            call.mark_ended(self._loop.time())
            return
        self._respond(invite, "180 Ringing", call)
        if self.manner is Manner.ANSWER:
            self._answer(call, invite)

    def answer(self, call: SipCall) -> None:
        """Pick up a call that rings."""
        self._answer(call, call.invite)

    def _answer(self, call: SipCall, invite: Message) -> None:
        self._respond(invite, "200 OK", call, self._offer(call))
        answer = self._answers[invite.branch, "INVITE"]
        key = (f"ack-{call.id}-{invite.cseq}", "INVITE")
        self._repeating[key] = self._loop.call_later(
            T1, self._transport.sendto, answer.encode(), via_address(invite)
        )
        call.mark_answered(self._loop.time(), invite.body)

    def _acknowledge_answer(self, ack: Message) -> None:
        timer = self._repeating.pop((f"ack-{ack.get('call-id')}-{ack.cseq}", "INVITE"), None)
        if timer is not None:
            timer.cancel()
