"""Advice as text for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import Any

from perflab.lab.advice.advice import Advice, Advices, Finding, Measured, Option, Proof, Verdict
from perflab.lab.quantities import format_count, format_factor, format_seconds

WIDTH = 110
LONGEST_STATEMENT = 300


def as_text(advices: Advices) -> str:
    """Everything, finding by finding."""
    blocks = ["\n".join(_advice_lines(number, advice)) for number, advice in enumerate(advices.advice, 1)]
    looked = f"looked at {_counted(advices.tables, 'table')} and {_counted(advices.statements, 'statement')}"
    if not blocks:
        blocks.append(f"Nothing to advise: {looked}, and none of them reads more of a deep table than it needs.")
    else:
        blocks.append(f"{_counted(len(advices.advice), 'finding')}; {looked}.")
    if advices.skipped:
        blocks.append("\n".join(["Not judged:", *(f"  {_short(each.label)}: {why}" for each, why in advices.skipped)]))
    return "\n\n".join(blocks)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _advice_lines(number: int, advice: Advice) -> Iterator[str]:
    finding = advice.finding
    yield _wrapped(f"{number}. {finding.detail}", indent=0)
    if finding.statement is not None:
        yield _wrapped(f"{finding.statement.source}: {_short(finding.statement.label)}{_timing(finding)}", indent=3)
    if finding.plan is not None:
        yield from (f"     {line}" for line in finding.plan.lines)
    if not advice.options:
        yield "   No index or setting is known that would help."
    for letter, option in zip("abcdefghij", advice.options, strict=False):
        yield from _option_lines(letter, option, finding)


def _timing(finding: Finding) -> str:
    statement = finding.statement
    mean = statement.mean_seconds if statement else None
    return "" if statement is None or mean is None else f" ({statement.calls:,} calls, {format_seconds(mean)} each)"


def _option_lines(letter: str, option: Option, finding: Finding) -> Iterator[str]:
    change, table = option.proposal.change, finding.table.sql_name
    yield f"   {letter}) {_headline(option.proof)}"
    for sql in change.sql(table):
        yield f"        {sql};"
    yield _wrapped(f"why: {option.proposal.reason}", indent=6)
    if change.on_connection:
        yield "      It holds for one connection: run it wherever one is opened."
    undo = change.undo_sql(table)
    yield f"      undo: {'; '.join(undo)};" if undo else "      undo: nothing has to be"
    if option.proof is not None and option.proof.gain is not None:
        yield from (_wrapped(line, indent=6) for line in _proof_lines(option.proof))


def _headline(proof: Proof | None) -> str:
    if proof is None:
        return "proposed, not measured:"
    if proof.verdict is Verdict.NOT_MEASURED:
        return f"not measured: {proof.why}"
    assert proof.gain is not None  # a verdict on a measurement has one
    gain = proof.gain
    if proof.verdict is Verdict.GAIN:
        times = f"{format_factor(1 / gain.ratio)} [{format_factor(1 / gain.high)}, {format_factor(1 / gain.low)}]"
        return f"makes {gain.what} {times} times as fast:"
    return f"no proven gain: after/before {_ratio(gain)} for {gain.what}:"


def _proof_lines(proof: Proof) -> Iterator[str]:
    assert proof.gain is not None  # asked for where there is one
    for measured in (proof.gain, *proof.costs):
        yield (
            f"{measured.what}: {format_seconds(measured.before_seconds)} before, "
            f"{format_seconds(measured.after_seconds)} after, per {measured.unit.removeprefix('s/')}; "
            f"after/before {_ratio(measured)}, {measured.blocks} blocks"
        )
    if proof.writes_per_call is not None:
        yield f"it pays as long as fewer than {format_count(proof.writes_per_call)} rows are inserted for each call"
    yield f"measured on copies of {proof.rows:,} rows, interleaved; intervals at 95 %"


def _ratio(measured: Measured) -> str:
    return f"{format_factor(measured.ratio)} [{format_factor(measured.low)}, {format_factor(measured.high)}]"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_STATEMENT else f"{text[: LONGEST_STATEMENT - 1]}…"


def _wrapped(text: str, *, indent: int) -> str:
    return fill(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_long_words=False)


# -- JSON --------------------------------------------------------------------------------------------------------------


def as_json(advices: Advices) -> dict[str, Any]:
    """The same as plain values. Parameters of statements are left out: they are the user's data."""
    return {
        "tables": advices.tables,
        "statements": advices.statements,
        "advice": [_advice_json(advice) for advice in advices.advice],
        "skipped": [{"statement": each.label, "reason": why} for each, why in advices.skipped],
    }


def _advice_json(advice: Advice) -> dict[str, Any]:
    finding, statement = advice.finding, advice.finding.statement
    return {
        "finding": {
            "kinds": [str(kind) for kind in finding.kinds],
            "table": finding.table.shown_name,
            "rows": finding.table.rows,
            "detail": finding.detail,
            "statement": statement and statement.sql,
            "name": statement and statement.name,
            "source": statement and str(statement.source),
            "calls": statement and statement.calls,
            "seconds": statement and statement.seconds,
            "plan": list(finding.plan.lines) if finding.plan else [],
        },
        "options": [_option_json(option, finding) for option in advice.options],
    }


def _option_json(option: Option, finding: Finding) -> dict[str, Any]:
    proposal, table = option.proposal, finding.table.sql_name
    return {
        "do": list(proposal.change.sql(table)),
        "undo": list(proposal.change.undo_sql(table)),
        "on_connection": proposal.change.on_connection,
        "reason": proposal.reason,
        "proof": option.proof and _proof_json(option.proof),
    }


def _proof_json(proof: Proof) -> dict[str, Any]:
    return {
        "verdict": str(proof.verdict),
        "why": proof.why,
        "rows": proof.rows,
        "gain": proof.gain and _measured_json(proof.gain),
        "costs": [_measured_json(cost) for cost in proof.costs],
        "rows_inserted_per_call_that_cost_the_gain": proof.writes_per_call,
        "plan_before": list(proof.plan_before),
        "plan_after": list(proof.plan_after),
    }


def _measured_json(measured: Measured) -> dict[str, Any]:
    return {
        "what": measured.what,
        "unit": measured.unit,
        "before": measured.before_seconds,
        "after": measured.after_seconds,
        "ratio": {"value": measured.ratio, "low": measured.low, "high": measured.high},
        "median_ratio": {
            "value": measured.median,
            "low": measured.median_low,
            "high": measured.median_high,
        },
        "blocks": measured.blocks,
        "level": 0.95,
    }
