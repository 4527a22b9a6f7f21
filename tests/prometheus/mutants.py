"""Rules with one mistake each: what a tired hand does to them, and what a test must notice."""

from __future__ import annotations

import re
from collections.abc import Iterator

NEXT_BUCKET = {"2.5": "2.0", "1.25": "2.5", "0.4": "0.3", "0.02": "0.01", "0.16": "0.08"}
OPERATOR = re.compile(r"\s+(or|and|unless)\s+(on \([^)]*\)\s+)?")


def of(expr: str) -> Iterator[tuple[str, str]]:
    """(what was done, the expression after it)."""
    yield from _without_a_branch(expr)
    yield from _other_limits(expr)
    yield from _other_labels(expr)
    for le, other in NEXT_BUCKET.items():
        if f'le="{le}"' in expr:
            yield f"le {le} is {other}", expr.replace(f'le="{le}"', f'le="{other}"')
    for one, other in (("min_over_time", "max_over_time"), ("max_over_time", "min_over_time")):
        if one in expr:
            yield f"{other} for {one}", expr.replace(one, other, 1)


def of_a_ratio(expr: str) -> Iterator[str]:
    """Changes of what is counted as bad, as ``before is after``."""
    for le, other in NEXT_BUCKET.items():
        if f'le="{le}"' in expr:
            yield f'le="{le}" is le="{other}"'
    for label, value in re.findall(r'(\w+)=~?"(\w+(?:\|\w+)*)"', expr):
        if label not in ("job", "le"):
            yield from (f'{label}="{v}" is {label}="nothing"' for v in [value] if "|" not in v)
            for one in value.split("|") if "|" in value else ():
                rest = "|".join(v for v in value.split("|") if v != one)
                yield f'{label}=~"{value}" is {label}=~"{rest}"'


def _split(expr: str) -> tuple[list[str], list[str]]:
    """Operands and operators of ``or``, ``and`` and ``unless`` outside of parentheses."""
    operands, operators, depth, start, at = [], [], 0, 0, 0
    quoted = False
    while at < len(expr):
        char = expr[at]
        if char == '"':
            quoted = not quoted
        if not quoted:
            depth += (char in "({[") - (char in ")}]")
            match = OPERATOR.match(expr, at) if depth == 0 else None
            if match:
                operands.append(expr[start:at])
                operators.append(match[0])
                at = start = match.end()
                continue
        at += 1
    return [*operands, expr[start:]], operators


def _without_a_branch(expr: str) -> Iterator[tuple[str, str]]:
    operands, operators = _split(expr)
    for number, operand in enumerate(operands):
        if len(operands) > 1:
            rest = [*operands[:number], *operands[number + 1 :]]
            signs = [*operators[: max(0, number - 1)], *operators[max(1, number) :]]
            joined = rest[0] + "".join(s + o for s, o in zip(signs, rest[1:], strict=True))
            yield f"without {' '.join(operand.split())[:60]}", joined
        if operand.startswith("(") and operand.endswith(")"):
            for what, inner in _without_a_branch(operand[1:-1].strip()):
                parts = [*operands[:number], f"({inner})", *operands[number + 1 :]]
                signs = [*operators, ""]
                yield what, "".join(o + s for o, s in zip(parts, signs, strict=True))


def _other_limits(expr: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r"(?<=[<>=] )(bool )?(\d+(?:\.\d+)?)", expr):
        value = float(match[2])
        equal = expr[: match.start()].endswith("== ")
        for other in (1 - value,) if equal else (value * 2, value / 2) if value > 0.5 else (
            (-1.0, 1.5) if value in (0, 0.5) else (value * 2, value / 2)
        ):  # fmt: skip
            changed = f"{match[1] or ''}{other:g}"
            yield (
                f"{match[2]} is {other:g}",
                expr[: match.start()] + changed + expr[match.end() :],
            )


def _other_labels(expr: str) -> Iterator[tuple[str, str]]:
    for match in re.finditer(r'(\w+)(=~|!~|!=|=)"([^"]*)",?', expr):
        label, sign, value = match[1], match[2], match[3]
        if label in ("job", "slo", "le"):
            continue
        yield f"any {label}", expr[: match.start()] + expr[match.end() :].replace(",}", "}")
        for one in value.split("|") if sign in ("=~", "!~") and "(" not in value else ():
            rest = "|".join(v for v in value.split("|") if v != one) or "nothing"
            changed = f'{label}{sign}"{rest}"' + ("," if match[0].endswith(",") else "")
            yield f"{label} without {one}", expr[: match.start()] + changed + expr[match.end() :]
