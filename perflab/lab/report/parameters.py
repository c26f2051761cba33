"""The parameters of a notebook: what its `parameters` cell declares, and which values a run gives them."""

from __future__ import annotations

import ast
import difflib
import io
import reprlib
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

import papermill

from perflab.errors import InvalidInput
from perflab.lab.report.notebook import kernel_problem, tags
from perflab.lab.report.parameter_types import PARAMETER_TYPES
from perflab.lab.report.passwords import refuse_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nbformat import NotebookNode

PARAMETERS_TAG = "parameters"
PROFILES = ("smoke", "quick", "full")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of the parameters cell.

    Attributes:
        name: A Python identifier.
        type: A key of `PARAMETER_TYPES`.
        default: The literal in the notebook.
        help: The comment at the end of the line; may be empty.
    """

    name: str
    type: str
    default: object
    help: str


def examine_parameters(path: Path, notebook: NotebookNode) -> tuple[list[Parameter], list[str]]:
    """The parameters that the notebook declares, and what is wrong with the declaration.

    Args:
        path: The file of the notebook: papermill reads it once more, to say what it recognises.
        notebook: What `read_notebook(path)` returned.
    """
    cells = [cell for cell in notebook.cells if PARAMETERS_TAG in tags(cell)]
    if len(cells) != 1 or cells[0].cell_type != "code":
        return [], [f"it has {len(cells)} cells tagged {PARAMETERS_TAG!r}: tag exactly one code cell"]
    if problem := kernel_problem(notebook):
        return [], problem
    parameters, problems = _parse_cell(cells[0].source)
    recognised = papermill.inspect_notebook(as_papermill_path(path))
    for parameter in parameters:
        if recognised.get(parameter.name, {}).get("inferred_type_name") != parameter.type:
            problems.append(
                f"papermill does not recognise the parameter {parameter.name!r}: "
                "start its line at the margin, with one equals sign in it, in text and comment too"
            )
    return parameters, problems


def declared_parameters(path: Path, notebook: NotebookNode) -> list[Parameter]:
    """The parameters that the notebook declares, in its order.

    Raises:
        InvalidInput: The declaration is not one that perflab and papermill both read, or holds a password.
    """
    parameters, problems = examine_parameters(path, notebook)
    if problems:
        raise InvalidInput(f"the parameters of {path.name} cannot be read: {'; '.join(problems)}")
    for parameter in parameters:
        refuse_password(str(parameter.default), where=f"{path.name}: the default of the parameter {parameter.name!r}")
    return parameters


def bind_parameters(
    declared: Sequence[Parameter], given: Mapping[str, object], *, profile: str | None, notebook: str
) -> dict[str, object]:
    """The given values, checked and of the declared types.

    Args:
        declared: The parameters of the notebook.
        given: Values by name. A text given for another type is converted: numbers as Python reads them, `true`,
            `yes`, `1` and their opposites, lists and dicts as JSON.
        profile: Short for a parameter named `profile`; None leaves it alone.
        notebook: The name of the notebook, for messages.

    Raises:
        InvalidInput: A name is unknown, a value does not fit its type or holds a password, or the profile is none of
            smoke, quick, full.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    known = f"its parameters are {', '.join(f'{parameter.name}: {parameter.type}' for parameter in declared)}"
    for name, value in given.items():
        refuse_password(f"{name} {value}", where=f"{notebook}: the value given for {name.partition(':')[0]!r}")
    if profile is not None:
        given = _with_profile(given, profile, by_name, notebook, known)
    bound: dict[str, object] = {}
    for name, value in given.items():
        if name not in by_name:
            hint = _suggestion(name, by_name)
            raise InvalidInput(f"{notebook} has no parameter {name!r} (given {reprlib.repr(value)}){hint}; {known}")
        try:
            bound[name] = PARAMETER_TYPES[by_name[name].type].convert(value)
        except ValueError as error:
            raise InvalidInput(
                f"{notebook}: the parameter {name!r} takes {error}, not {reprlib.repr(value)}; {known}"
            ) from None
    if bound.get("profile", PROFILES[0]) not in PROFILES:
        raise InvalidInput(f"{notebook}: the profile {bound['profile']!r} is none of {', '.join(PROFILES)}")
    return bound


def as_papermill_path(path: Path) -> str:
    """The path as papermill takes it: it would fill in braces as fields."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _parse_cell(source: str) -> tuple[list[Parameter], list[str]]:
    parameters: dict[str, Parameter] = {}
    problems: list[str] = []
    for number, line in enumerate(source.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            parameter = _parse_line(line)
        except ValueError as error:
            problems.append(f"line {number} of the parameters cell: {error}")
            continue
        if parameter.name in parameters:
            problems.append(f"line {number} of the parameters cell: {parameter.name!r} stands there twice")
        parameters[parameter.name] = parameter
    return list(parameters.values()), problems


def _parse_line(line: str) -> Parameter:
    try:
        statements = ast.parse(line.strip()).body
    except SyntaxError:
        statements = []
    match statements:
        case [ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value)]:
            type_name = _type_name(annotation)
        case _:
            raise ValueError(f"{line.strip()!r} is not `name: type = literal`, complete on one line")
    if type_name not in PARAMETER_TYPES:
        raise ValueError(f"{name!r} has the type {type_name}: use one of {', '.join(PARAMETER_TYPES)}")
    try:
        default = ast.literal_eval(value)
    except (ValueError, TypeError):  # TypeError: a list as the key of a dict
        raise ValueError(f"the default of {name!r} is {ast.unparse(value)!r}, which is not a literal") from None
    if not PARAMETER_TYPES[type_name].holds(default):
        raise ValueError(f"the default of {name!r} is {default!r}: make it {PARAMETER_TYPES[type_name].wanted}")
    if name == "profile" and default not in PROFILES:
        raise ValueError(f"the default of 'profile' is {default!r}: make it one of {', '.join(PROFILES)}")
    return Parameter(name=name, type=type_name, default=default, help=_comment(line.strip()))


def _type_name(annotation: ast.expr) -> str:
    """The annotation as papermill reads it: with or without quotes."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _comment(line: str) -> str:
    """The comment at the end of a line of Python; a `#` inside a text does not start one."""
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return "".join(token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT)


def _with_profile(
    given: Mapping[str, object], profile: str, declared: Mapping[str, Parameter], notebook: str, known: str
) -> Mapping[str, object]:
    if "profile" not in declared:
        raise InvalidInput(f"{notebook} has no parameter 'profile', so it cannot run as {profile!r}; {known}")
    if given.get("profile", profile) != profile:
        raise InvalidInput(f"{notebook}: the profile is given as {profile!r} and as {given['profile']!r}: give one")
    return {**given, "profile": profile}


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
