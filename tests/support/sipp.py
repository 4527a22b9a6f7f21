"""Many callers at once, by sipp: an independent SIP and RTP implementation (Debian: sip-tester)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
from pathlib import Path

from tests.support.asterisk import LOOPBACK, held_port
from voicebot.audio import alaw

SCENARIO = Path(__file__).with_name("sipp_caller.xml")
THEY_HANG_UP = """\
  <recv request="BYE" timeout="60000"/>
  <send>
    <![CDATA[

      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

    ]]>
  </send>
"""
HANG_UP = """\
  <pause milliseconds="{}"/>
  <send retrans="500">
    <![CDATA[

      BYE [next_url] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:06000000[call_number]@[local_ip]:[local_port]>;tag=[pid]-[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
"""
RTP_PORTS = range(32_000, 60_000, 1_000)  # sipp takes a block upwards from one port


async def place_calls(
    number: str,
    server_port: int,
    calls: int,
    speech: bytes,
    directory: Path,
    within: float,
    *,
    seconds: float | None = None,
) -> None:
    """*calls* callers dial *number* within a second, and say *speech* (slin) over and over. They
    hang up after *seconds*; None: they hang on until the other side does. *directory* takes sipp's
    files.

    Raises AssertionError with sipp's own account when any call fails, one that the other side
    ended before its time included; TimeoutError when they do not end.
    """
    program = shutil.which("sipp")
    assert program, "sipp is not installed: apt-get install sip-tester"
    tape, scenario = directory / "speech.alaw", directory / "caller.xml"
    tape.write_bytes(alaw.encode(speech))
    ending = THEY_HANG_UP if seconds is None else HANG_UP.format(round(1000 * seconds))
    text = SCENARIO.read_text().replace("@ENDING@", ending).replace("@SPEECH@", str(tape))
    scenario.write_text(text)
    with held_port(socket.SOCK_DGRAM) as port:
        pass
    with (directory / "sipp.out").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "-sf", str(scenario), "-s", number,
            "-i", LOOPBACK, "-p", str(port), "-mi", LOOPBACK, "-mp", str(_free_block()),
            "-m", str(calls), "-l", str(calls), "-r", str(calls), "-rp", "1000",
            "-nostdin", "-trace_err", "-error_file", str(directory / "sipp.errors"),
            f"{LOOPBACK}:{server_port}",
            cwd=directory, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(within):
                status = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
    if status != 0:
        errors = directory / "sipp.errors"
        account = errors.read_text() if errors.exists() else (directory / "sipp.out").read_text()
        raise AssertionError(f"sipp: status {status}\n{account[-4000:]}")


def _free_block() -> int:
    for port in RTP_PORTS:
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, port))
            return port
    raise AssertionError("no free RTP port for sipp")
