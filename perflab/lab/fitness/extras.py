"""Which extras are installed, by what perflab's own metadata says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from perflab.database.doctor.diagnosis import Check, Verdict

PURPOSES = {
    "postgres": "measure and use PostgreSQL",
    "lab": "measure, draw and report",
    "compression": "compress payloads",
    "cache": "use cachetools' policies",
    "metrics": "serve Prometheus",
    "otel": "export to OpenTelemetry",
    "profilers": "look where the time goes in a benchmark",
    "dashboard": "serve the live page",
    "distributed": "measure from several machines",
    "peers": "measure other libraries beside this one",
}
"""Those that users choose from; `dev` and `docs` are for working on perflab itself."""


def check_packages(
    requires: Sequence[str] | None = None, *, installed: Callable[[str], str | None] | None = None
) -> Iterator[Check]:
    """A check of what perflab itself needs, and one for each extra.

    Args:
        requires: Requirements as metadata has them; None for those of the perflab that is installed.
        installed: The version of a package, None if it is not there; None asks the interpreter.
    """
    if requires is None:
        try:
            requires = distribution("perflab").requires or []
        except PackageNotFoundError:
            advice = "install it: pip install -e . in its folder"
            yield Check("perflab", Verdict.WARNING, "this is no installation, so its needs are not known", advice)
            return
    requirements = [Requirement(each) for each in requires]
    lookup = installed or installed_version
    wrong = [problem for each in requirements_of("", requirements) if (problem := _problem(each, lookup))]
    if wrong:
        yield Check("perflab", Verdict.FAILURE, "; ".join(wrong), "pip install --upgrade perflab", {"missing": wrong})
    else:
        yield Check("perflab", Verdict.OK, "what it needs is installed", values={"missing": []})
    for extra, purpose in PURPOSES.items():
        wrong = [problem for each in requirements_of(extra, requirements) if (problem := _problem(each, lookup))]
        if wrong:
            advice = f"to {purpose}: pip install 'perflab[{extra}]'"
            yield Check(f"[{extra}]", Verdict.NOTE, "; ".join(wrong), advice, {"missing": wrong})
        else:
            yield Check(f"[{extra}]", Verdict.OK, f"installed: you can {purpose}", values={"missing": []})


def requirements_of(extra: str, requirements: Sequence[Requirement]) -> Iterator[Requirement]:
    """Those of an extra on this machine, with those of the extras that it contains; "" for those of perflab itself."""
    for requirement in requirements:
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        if extra and (marker is None or marker.evaluate({"extra": ""})):
            continue  # of perflab itself
        if _normal(requirement.name) == "perflab":
            for inner in sorted(requirement.extras):
                yield from requirements_of(inner, requirements)
        else:
            yield requirement


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _problem(requirement: Requirement, installed: Callable[[str], str | None]) -> str | None:
    found = installed(requirement.name)
    if found is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(found, prereleases=True):
        return f"{requirement.name} is {found}, and {requirement.specifier} is needed"
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
