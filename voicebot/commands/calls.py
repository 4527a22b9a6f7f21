"""``voicebot calls``: the latest calls, or one call as the conversation it was."""

from __future__ import annotations

import argparse
from pathlib import Path

from voicebot.archive.recordings import current
from voicebot.commands.listing import (
    clock,
    local,
    print_json,
    print_table,
    text,
    with_journal,
)
from voicebot.journal.reader import JournalReader, Row
from voicebot.telemetry.money import amount_text, money

HELP = "list the latest calls, or show one of them turn by turn"

_STAGES = {
    "endpointing_s": "endpointing", "stt_s": "stt", "think_s": "thinking", "playout_s": "playout",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command on *parser*."""
    parser.add_argument("call_id", nargs="?", help="a call's id, or the beginning of it")
    parser.add_argument(
        "--limit", type=_positive, default=20, help="how many calls to list (default: %(default)s)"
    )
    parser.add_argument("--probes", action="store_true", help="include probe calls")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print it; 1 if there is no such call or no journal, 2 for faulty settings."""
    if args.call_id:
        return with_journal(lambda reader: _one(reader, args.call_id, as_json=args.json))
    return with_journal(
        lambda reader: _list(reader, args.limit, probes=args.probes, as_json=args.json)
    )


def _list(reader: JournalReader, limit: int, *, probes: bool, as_json: bool) -> int:
    rows = reader.recent(limit, probes=probes)
    if as_json:
        print_json(rows)
    elif not rows:
        print("no call yet")
    else:
        heads = ("CALL", "STARTED", "LENGTH", "OUTCOME", "NAME", "NUMBER", "TURNS", "P95", "COST")
        print_table(heads, [_line(row) for row in rows])
    return 0


def _line(row: Row) -> tuple[str, ...]:
    p95 = row["response_p95_s"]
    return (
        row["id"][:8],
        local(row["started_at"]),
        _length(row),
        text(row["outcome"]),
        text(row["caller_name"]),
        text(row["caller_number"]),
        str(row["turns"]),
        "-" if p95 is None else f"{p95:.2f} s",
        money(row["cost"], row["currency"]),
    )


def _one(reader: JournalReader, call_id: str, *, as_json: bool) -> int:
    call = reader.find(call_id)
    turns = reader.turns(call["id"])
    uses = reader.uses(call["id"])
    if as_json:
        print_json([{**call, "uses": uses, "conversation": turns}])
        return 0
    print(f"Call {call['id']}")
    print(f"  {local(call['started_at'])}, {_length(call)}, {_ending(call)}")
    caller = ", ".join(text(call[key]) for key in ("caller_name", "caller_number", "reason"))
    print(f"  caller: {caller}")
    for file in (call["recording"] or "").splitlines():
        print(f"  recording: {current(Path(file))}")
    if uses:
        print(f"  cost: {money(call['cost'], call['currency'])}")
    for use in uses:
        print(f"    {_use(use)}")
    for turn in turns:
        _print_turn(turn, (turn["started_at"] - call["started_at"]).total_seconds())
    return 0


def _use(use: Row) -> str:
    amount = amount_text(use["amount"], use["unit"])
    cost = "no price" if use["cost"] is None else money(use["cost"], use["currency"])
    return f"{use['provider']} {use['model']}: {amount}, {cost}"


def _print_turn(turn: Row, since_start: float) -> None:
    moved = turn["state_from"] != turn["state_to"]
    states = f"{turn['state_from']} → {turn['state_to']}" if moved else turn["state_from"]
    print(f"\n{clock(since_start):>6}  {states}")
    if turn["caller_text"]:
        by = turn["understood"] or "not understood"
        print(f"        caller  {turn['caller_text']}  [{by}]")
    if turn["bot_text"]:
        cut = " [cut off by the caller]" if turn["outcome"] == "interrupted" else ""
        print(f"        bot     {turn['bot_text']}{cut}")
    if turn["outcome"] not in ("answered", "interrupted"):
        print(f"        ({turn['outcome']})")
    if turn["response_s"] is not None:
        stages = [f"{name} {turn[key]:.2f}" for key, name in _STAGES.items() if turn[key]]
        detail = f": {', '.join(stages)}" if stages else ""
        print(f"        answered in {turn['response_s']:.2f} s{detail}")


def _ending(call: Row) -> str:
    return f"{call['outcome']}, ended by {call['ended_by']}" if call["ended_at"] else "no end yet"


def _length(row: Row) -> str:
    if row["ended_at"] is None:
        return "-"
    return clock((row["ended_at"] - row["started_at"]).total_seconds())


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
