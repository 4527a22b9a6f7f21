"""What a person reads: the live transcript, the table of a call, the summary of many.

Only text is made here; nothing is printed. Colours are ANSI sequences, left out unless asked for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voicebot.simulator.leg import End
from voicebot.simulator.measure import Level, Measures, Response, Turn, percentile
from voicebot.simulator.runner import CallResult, Cost
from voicebot.simulator.transcript import Entry, Who
from voicebot.telemetry.money import amount_text, money

_NAMES = {
    Who.CALLER: "customer",
    Who.KEYS: "keypad",
    Who.BOT: "bot",
    Who.CUT: "cut after",
    Who.HEARD: "understood",
    Who.STATE: "state",
    Who.END: "outcome",
}
_COLOURS = {
    Who.CALLER: "36",
    Who.KEYS: "36",
    Who.BOT: "32",
    Who.CUT: "33",
    Who.HEARD: "2",
    Who.STATE: "2",
    Who.END: "1",
}
_INDENT = " " * 20
_LATENCY_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Style:
    """Where the text will be shown."""

    colour: bool
    width: int

    def paint(self, code: str, text: str) -> str:
        """*text* in an ANSI colour, if colours are shown."""
        return f"\033[{code}m{text}\033[0m" if self.colour and text else text


def transcript_line(entry: Entry, style: Style) -> str:
    """One entry of the live transcript: time, who, words, and the bot's latency at the right."""
    width = max(40, style.width - len(_INDENT) - _LATENCY_WIDTH)
    lines = textwrap.wrap(entry.text, width) or ["(nothing)"]
    colour = _COLOURS[entry.who]
    head = f"{entry.at:7.1f}  {_NAMES[entry.who]:<10} "
    first = style.paint("2", head[:9]) + style.paint(colour, head[9:] + lines[0])
    if entry.latency is not None:
        first += " " * (width - len(lines[0])) + style.paint(
            "2", f"{milliseconds(entry.latency):>9}"
        )
    return "\n".join([first, *(_INDENT + style.paint(colour, line) for line in lines[1:])])


def milliseconds(value: float | None) -> str:
    """*value* seconds as whole milliseconds; a dash for None."""
    return "-" if value is None else f"{value * 1000:.0f} ms"


def turn_table(measures: Measures, style: Style) -> str:
    """Each answer of the customer with the latency of the bot's reply, and the percentiles."""
    words = max(16, (style.width - 22) // 2)
    rows = [f"{'turn':>4}  {'the bot asked':<{words}}  {'the customer':<{words}}  {'latency':>8}"]
    for turn in measures.turns:
        latency = turn.response.value
        if turn.response is Response.ANSWERED:
            latency = milliseconds(turn.latency)
        question, said = _tail(turn.question, words), _head(turn.said, words)
        rows.append(f"{turn.number:>4}  {question:<{words}}  {said:<{words}}  {latency:>8}")
    rows[0] = style.paint("1", rows[0])
    rows.append(f"      {_voice_to_voice(measures.latencies)}")
    return "\n".join(rows)


def call_report(result: CallResult, style: Style) -> str:
    """Everything about one call that the live transcript did not say."""
    measures = result.measures
    rows = [turn_table(measures, style)]
    if measures.barge_ins:
        rows.append(
            "      silent after an interruption: "
            + ", ".join(milliseconds(one) for one in measures.barge_ins)
        )
    late = result.pacing.percentile(99)
    rows += [
        f"      first sound after {milliseconds(measures.first_audio)}; "
        f"frames late by {milliseconds(late)} (p99); "
        f"{len(measures.gaps)} gaps, {len(measures.dropouts)} dropouts",
        f"      bot {_level(measures.bot)}; customer {_level(measures.caller)}",
        f"      {_ending(result)}",
        *(f"      {line}" for line in _cost(result.cost)),
    ]
    rows += [style.paint("33", f"      note: {warning}") for warning in result.warnings]
    rows += [style.paint("31", f"      FAILED: {failure}") for failure in result.failures]
    if result.ok:
        rows.append(style.paint("32", "      as expected"))
    return "\n".join(rows)


def summary_table(results: Sequence[CallResult], style: Style) -> str:
    """One line a call, then all of them together."""
    head = (
        f"{'call':>4}  {'scenario':<20} {'outcome':<14} {'length':>7} {'turns':>5} "
        f"{'p50':>8} {'p95':>8} {'late p99':>8} {'gaps':>4}  result"
    )
    rows = [style.paint("1", head)]
    for number, result in enumerate(results, 1):
        measures = result.measures
        verdict = style.paint("32", "ok") if result.ok else style.paint("31", result.failures[0])
        rows.append(
            f"{number:>4}  {_head(result.scenario.name, 20):<20} "
            f"{result.outcome or result.end.value:<14} {measures.duration:>5.1f} s "
            f"{len(measures.turns):>5} {milliseconds(percentile(measures.latencies, 50)):>8} "
            f"{milliseconds(percentile(measures.latencies, 95)):>8} "
            f"{milliseconds(result.pacing.percentile(99)):>8} "
            f"{len(measures.gaps) + len(measures.dropouts):>4}  {verdict}"
        )
    latencies = [one for result in results for one in result.measures.latencies]
    good = sum(result.ok for result in results)
    rows.append(f"      {good} of {len(results)} as expected; {_voice_to_voice(latencies)}")
    costs = [result.cost for result in results if result.cost is not None and result.cost.uses]
    if costs:
        known = [cost.total for cost in costs if cost.total is not None]
        total = sum(known) if len(known) == len(costs) else None
        rows.append(f"      cost of all of them: {money(total, costs[0].currency)}")
    return "\n".join(rows)


def as_dict(result: CallResult) -> dict[str, Any]:
    """A call as plain data for JSON. Times are seconds."""
    measures = result.measures
    return {
        "scenario": result.scenario.name,
        "call_id": str(result.call_id),
        "ok": result.ok,
        "outcome": result.outcome,
        "ended_by": result.end.value,
        "duration": round(measures.duration, 3),
        "failures": list(result.failures),
        "warnings": list(result.warnings),
        "latency_p50": _rounded(percentile(measures.latencies, 50)),
        "latency_p95": _rounded(percentile(measures.latencies, 95)),
        "barge_ins": [round(one, 3) for one in measures.barge_ins],
        "first_audio": _rounded(measures.first_audio),
        "frame_lateness_p99": round(result.pacing.percentile(99), 4),
        "drift_per_minute": round(result.pacing.drift, 4),
        "gaps": len(measures.gaps),
        "dropouts": len(measures.dropouts),
        "bot_speech_dbfs": _rounded(measures.bot.speech_rms),
        "bot_peak_dbfs": _rounded(measures.bot.peak),
        "bot_clipped": measures.bot.clipped,
        "cost": None if result.cost is None else result.cost.total,
        "currency": None if result.cost is None else result.cost.currency,
        "uses": [] if result.cost is None else list(result.cost.uses),
        "turns": [_turn_as_dict(turn) for turn in measures.turns],
        "transcript": [
            {"at": round(entry.at, 3), "who": entry.who.value, "text": entry.text}
            for entry in result.entries
        ],
    }


def _voice_to_voice(latencies: Sequence[float]) -> str:
    p50, p95 = percentile(latencies, 50), percentile(latencies, 95)
    return (
        f"voice to voice over {len(latencies)} spoken turn{'s' * (len(latencies) != 1)}: "
        f"p50 {milliseconds(p50)}, p95 {milliseconds(p95)}"
    )


def _turn_as_dict(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "kind": turn.kind.value,
        "question": turn.question,
        "said": turn.said,
        "start": round(turn.start, 3),
        "end": round(turn.end, 3),
        "response": turn.response.name.lower(),
        "latency": _rounded(turn.latency),
        "barge_in": _rounded(turn.barge_in),
    }


def _ending(result: CallResult) -> str:
    by = {
        End.BOT: "ended by the bot",
        End.CALLER: "the customer hung up",
        End.LOST: "the connection broke",
        End.LIMIT: "given up",
    }[result.end]
    return f"{by} after {result.measures.duration:.1f} s; outcome: {result.outcome or 'unknown'}"


def _cost(cost: Cost | None) -> list[str]:
    """Nothing if nothing was charged: the embedded engine costs nothing."""
    if cost is None or not cost.uses:
        return []
    uses = [
        f"{use['provider']} {use['model']} {amount_text(use['amount'], use['unit'])}"
        for use in cost.uses
    ]
    return [f"cost {money(cost.total, cost.currency)}: {'; '.join(uses)}"]


def _level(level: Level) -> str:
    if level.speech_rms is None or level.peak is None:
        return "silent"
    clipped = f", {level.clipped} clipped" if level.clipped else ""
    return f"{level.speech_rms:.0f} dBFS (peak {level.peak:.0f}{clipped})"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _head(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _tail(text: str, width: int) -> str:
    """The end of a question: that is where the asking is done."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
