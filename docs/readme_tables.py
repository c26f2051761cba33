"""The tables of the README, from reports/reference: `make tables` writes them, and a test holds them to the files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perflab.lab.markdown_table import markdown_table
from perflab.lab.plots.wording import times_interval

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "reports" / "reference"
README = PROJECT / "README.md"
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
MEASURES = {"enqueue_each": "enqueued one by one", "enqueue_bulk": "enqueued in bulk", "drain": "drained"}


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """A page with what stands between `<!-- table: NAME -->` and `<!-- end -->` replaced by the table of that name.

    Raises:
        KeyError: the page asks for a table that there is not.
    """
    place = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return place.sub(lambda found: f"{found[1]}\n{tables[found[2]]}\n\n{found[3]}", text)


def reference_tables() -> dict[str, str]:
    """All tables, from the files of the reference runs."""
    bench, peers = (json.loads((REFERENCE / f"{name}.json").read_text("utf-8")) for name in ("bench", "peers"))
    return {"bench": bench_table(bench), "peers": peers_table(peers)}


def bench_table(bench: Mapping[str, Any]) -> str:
    """Ours ÷ the fastest by hand, for each call, on each engine."""
    found = {(one["operation"], one["engine"]): one for one in bench["comparisons"]}
    rows = [
        [f"`{call}`", *(cell for engine in ENGINES for cell in _ratio_and_limit(found[call, engine]))]
        for call in dict.fromkeys(call for call, _ in found)
        if all((call, engine) in found for engine in ENGINES)
    ]
    header = ["ours ÷ fastest by hand, 95 % interval"]
    header += [word for engine in ENGINES.values() for word in (engine, "limit")]
    made = measured(
        bench["measured_at"][:10],
        bench["environment"],
        bench["engines"],
        "perflab bench enqueue claim done watches states load --engine both",
    )
    return f"{made}\n\n{markdown_table(header, rows)}"


def _ratio_and_limit(comparison: Mapping[str, Any]) -> list[str]:
    low, high = comparison["ratio_low"], comparison["ratio_high"]
    return [f"**{comparison['ratio']:.2f}** [{low:.2f}, {high:.2f}]", f"{comparison['limit']:g}"]


def peers_table(peers: Mapping[str, Any]) -> str:
    """How many times as fast ours is as each queue, and what that one promises."""
    rows = [row for queues in peers["queues"] for row in _peer_rows(queues)]
    first = peers["queues"][0]
    engines = [queues["environment"]["engine"] for queues in peers["queues"]]
    made = measured(first["measured_on"], first["environment"], engines, "perflab peers --engine both")
    header = ["perflab is … times as fast", *MEASURES.values(), "a job of theirs runs"]
    return f"{made}\n\n{markdown_table(header, rows)}"


def _peer_rows(queues: Mapping[str, Any]) -> list[list[str]]:
    costs = {(cost["queue"], cost["measure"]): cost for cost in queues["costs"]}
    cards = [card for card in queues["cards"] if card["role"] == "peer"]
    return [
        [
            f"{card['name']} {card['version']}, {ENGINES[card['engine']]}",
            *(_times(costs.get((card["name"], measure))) for measure in MEASURES),
            card["guarantee"].partition(":")[0].partition(" if ")[0],
        ]
        for card in cards
        if (card["name"], "drain") in costs
    ]


def _times(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return "no such call"
    return times_interval(cost["times_faster"], cost["times_faster_low"], cost["times_faster_high"])


def measured(day: str, environment: Mapping[str, Any], engines: Sequence[str], command: str) -> str:
    """When, where and how."""
    machine = f"{environment['cpu']}, {environment['cores']} cores, load {environment['load_average']:.1f} at the start"
    software = ", ".join([*engines, f"Python {environment['python']}"])
    return f"Measured on {day} by `{command}` ({machine}; {software})."


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8"), reference_tables()), "utf-8")
