"""The table of faults in tests/README.md: made of the marked tests, by running them.

python -m tests.faults.table           run them and write it
python -m tests.faults.table --check   only look whether it is that of the tests as they are
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cases import CASES, SECTIONS

ROOT = Path(__file__).parents[2]
README = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
MARK = "mark.case("
POSTGRES_FIXTURES = frozenset({"postgres_url", "postgres_server", "postgres_databases", "bouncer"})
SQLITE_FIXTURES = frozenset({"sqlite_url", "closed_file"})


@dataclass(frozen=True, slots=True)
class Marked:
    """A test function and the cases that it proves."""

    place: str
    cases: tuple[str, ...]
    target: str


@dataclass(slots=True)
class Ran:
    """What came of the runs of one function."""

    engines: set[str] = field(default_factory=set)
    results: Counter[str] = field(default_factory=Counter)


class Recorder:
    """A plugin of pytest that notes each test with the mark, and how it ended."""

    def __init__(self) -> None:
        self.marked: dict[str, Marked] = {}
        self.ran: defaultdict[str, Ran] = defaultdict(Ran)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        cases = sorted({case for mark in item.iter_markers("case") for case in mark.args})
        if not cases:
            return
        place = item.nodeid.partition("[")[0].removeprefix("tests/")
        target = "make faults" if item.get_closest_marker("faults") else "make test"
        self.marked[item.nodeid] = Marked(place, tuple(cases), target)
        self.ran[place].engines |= engines_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid in self.marked and (report.when == "call" or report.outcome != "passed"):
            self.ran[self.marked[report.nodeid].place].results[report.outcome] += 1

    def assume_passed(self) -> None:
        """As if all had run, and passed."""
        for marked in self.marked.values():
            self.ran[marked.place].results["passed"] += 1


def engines_of(item: Any) -> set[str]:
    """The engines that a test runs on: its parameters say so, or the fixtures of its module."""
    parameters = getattr(item, "callspec", None)
    values = parameters.params.values() if parameters else ()
    if engines := {value.partition(" ")[0] for value in values if isinstance(value, str)} & {"sqlite", "postgresql"}:
        return engines
    fixtures = set(item.fixturenames)
    definitions = item._fixtureinfo.name2fixturedefs.get("engine", ())
    if definitions and not definitions[-1].params:
        return {definitions[-1].func()}
    if fixtures & POSTGRES_FIXTURES:
        return {"postgresql"}
    return {"sqlite"} if fixtures & SQLITE_FIXTURES else set()


def marked_files() -> list[str]:
    """Those that hold a marked test: the others need not be read."""
    return [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if MARK in path.read_text(encoding="utf-8")]


def record(*, run: bool) -> Recorder:
    """Collect the marked tests, and run them if wanted."""
    recorder = Recorder()
    how = ["-q"] if run else ["-qq", "--collect-only"]
    pytest.main([*how, "-p", "no:cacheprovider", "-m", "case", *marked_files()], plugins=[recorder])
    if not run:
        recorder.assume_passed()
    return recorder


def rendered(recorder: Recorder) -> str:
    """The table as Markdown."""
    by_case: defaultdict[str, dict[str, Marked]] = defaultdict(dict)
    for marked in recorder.marked.values():
        for case in marked.cases:
            by_case[case][marked.place] = marked
    return "\n".join(_lines(by_case, recorder.ran)) + "\n"


def _lines(by_case: Mapping[str, Mapping[str, Marked]], ran: Mapping[str, Ran]) -> Iterator[str]:
    for section, numbers in SECTIONS.items():
        yield from ("", f"### {section}")
        for name in (f"F{number:02}" for number in numbers):
            case = CASES[name]
            yield from ("", f"**{name}**: {case.fault}. Expected: {case.expected}.", "")
            yield from ("| case | engine | test | result | run by |", "|---|---|---|---|---|")
            for place, marked in sorted(by_case[name].items()):
                yield _row(name, place, marked, ran[place])


def _row(name: str, place: str, marked: Marked, ran: Ran) -> str:
    engines = ", ".join(sorted(ran.engines, reverse=True)) or "any"
    results = ran.results or Counter(not_run=1)
    result = "passed" if set(results) == {"passed"} else ", ".join(f"{count} {how}" for how, count in results.items())
    return f"| {name} | {engines} | `{place}` | {result} | `{marked.target}` |"


def complaint(marked: Iterable[Marked]) -> str | None:
    """Cases without a test, or marks of no case."""
    proved = {case for test in marked for case in test.cases}
    if unknown := proved - set(CASES):
        return f"{', '.join(sorted(map(str, unknown)))}: no such case in tests/faults/cases.py"
    missing = set(CASES) - proved
    return f"no test is marked for {', '.join(sorted(missing))}" if missing else None


def main(arguments: Sequence[str]) -> int:
    check = list(arguments) == ["--check"]
    recorder = record(run=not check)
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    old, end, after = rest.partition(END)
    if wrong := complaint(recorder.marked.values()):
        print(wrong)
        return 1
    new = rendered(recorder)
    if check:
        if new != old:
            print("the table in tests/README.md is not that of the tests: run make fault-table")
        return int(new != old)
    README.write_text(before + begin + new + end + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
