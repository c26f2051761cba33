from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from perflab.errors import InvalidInput
from perflab.lab.report.notebook import read_notebook
from perflab.lab.report.parameters import Parameter, bind_parameters, declared_parameters, examine_parameters

GOOD = """
# what to measure
profile: str = "quick"  # smoke, quick or full
batch_size: int = 500  # rows in a flush

interval: float = 1  # seconds # not minutes
label: str = "a # b"
adaptive: bool = False  # send at once when idle
sizes: list = [1, -10, 100]  # to visit
options: "dict" = {"rows": 3}  # more
trace: Optional[str] = None  # a file
"""
DECLARED = [
    Parameter("profile", "str", "quick", ""),
    Parameter("batch_size", "int", 500, ""),
    Parameter("trace", "Optional[str]", None, ""),
]


def declared(path: Path) -> list[Parameter]:
    return declared_parameters(path, read_notebook(path))


def test_every_line_of_the_cell_is_read(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    assert declared(write_notebook(tmp_path, parameters=GOOD)) == [
        Parameter("profile", "str", "quick", "smoke, quick or full"),
        Parameter("batch_size", "int", 500, "rows in a flush"),
        Parameter("interval", "float", 1, "seconds # not minutes"),
        Parameter("label", "str", "a # b", ""),
        Parameter("adaptive", "bool", False, "send at once when idle"),
        Parameter("sizes", "list", [1, -10, 100], "to visit"),
        Parameter("options", "dict", {"rows": 3}, "more"),
        Parameter("trace", "Optional[str]", None, "a file"),
    ]


def test_braces_in_the_path_are_not_fields(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    folder = tmp_path / "{here}"
    folder.mkdir()
    assert [parameter.name for parameter in declared(write_notebook(folder, name="a{b}.ipynb"))] == ["profile"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("size = 5", "not `name: type = literal`"),
        ("size: int", "not `name: type = literal`"),
        ("sizes: list = [1,", "complete on one line"),
        ("a: int = 1; b: int = 2", "complete on one line"),
        ("import os", "complete on one line"),
        ("self.size: int = 5", "complete on one line"),
        ("size: int | None = 5", "the type int | None: use one of int, float"),
        ('kind: Literal["a", "b"] = "a"', "the type Literal"),
        ("size: int = 5 * 3", "not a literal"),
        ("size: int = os.getpid()", "not a literal"),
        ("options: dict = {[]: 1}", "not a literal"),
        ('size: int = "5"', "make it a whole number"),
        ("size: int = True", "make it a whole number"),
        ("rate: float = 1e999", "make it a finite number"),
        ("sizes: list = [1, {2}]", "make it a list in JSON"),
        ('profile: str = "fast"', "make it one of smoke, quick, full"),
        ('where: str = "a=b"', "papermill does not recognise the parameter 'where'"),
        ("size: int = 5  # size = rows", "papermill does not recognise the parameter 'size'"),
        ("size: int = 5\nsize: int = 6", "'size' stands there twice"),
    ],
)
def test_a_line_of_another_form_is_refused(
    tmp_path: Path, write_notebook: Callable[..., Path], line: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=r"the parameters of 02_batch_size\.ipynb cannot be read") as caught:
        declared(write_notebook(tmp_path, parameters=line))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "kernel", "reason"),
    [
        ([], "python3", "it has 0 cells tagged"),
        ([("code", "a: int = 1", "parameters"), ("code", "b: int = 1", "parameters")], "python3", "it has 2 cells"),
        ([("markdown", "a: int = 1", "parameters")], "python3", "tag exactly one code cell"),
        ([("code", "a: int = 1", "parameters")], "ir", "its kernel is 'ir'"),
    ],
)
def test_a_notebook_without_its_one_cell_is_refused(
    new_notebook: Callable[..., NotebookNode], cells: list[tuple[str, ...]], kernel: str, reason: str
) -> None:
    parameters, problems = examine_parameters(Path("unread.ipynb"), new_notebook(*cells, kernel=kernel))
    assert parameters == []
    assert reason in "; ".join(problems)


def test_values_are_bound_with_their_types() -> None:
    given = {"batch_size": "20", "trace": 'x"\nimport os'}
    bound = bind_parameters(DECLARED, given, profile="full", notebook="n.ipynb")
    assert bound == {"batch_size": 20, "trace": 'x"\nimport os', "profile": "full"}


def test_nothing_given_binds_nothing() -> None:
    assert bind_parameters(DECLARED, {}, profile=None, notebook="n.ipynb") == {}


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        ({"batchsize": "5"}, ["no parameter 'batchsize' (given '5')", "did you mean 'batch_size'?"]),
        ({"zzz": 5}, ["no parameter 'zzz' (given 5); its parameters"]),
        ({"batch_size": "many"}, ["'batch_size' takes a whole number such as 500, not 'many'"]),
        ({"profile": "fast"}, ["the profile 'fast' is none of smoke, quick, full"]),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(given: dict[str, object], reasons: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"n\.ipynb") as caught:
        bind_parameters(DECLARED, given, profile=None, notebook="n.ipynb")
    for reason in reasons:
        assert reason in str(caught.value)
    if "profile" not in given:
        assert "its parameters are profile: str, batch_size: int, trace: Optional[str]" in str(caught.value)


def test_a_profile_needs_a_parameter_for_it() -> None:
    with pytest.raises(InvalidInput, match=r"n\.ipynb has no parameter 'profile', so it cannot run as 'smoke'"):
        bind_parameters(DECLARED[1:], {}, profile="smoke", notebook="n.ipynb")


def test_a_profile_is_given_once() -> None:
    assert bind_parameters(DECLARED, {"profile": "full"}, profile="full", notebook="n") == {"profile": "full"}
    with pytest.raises(InvalidInput, match="given as 'smoke' and as 'full'"):
        bind_parameters(DECLARED, {"profile": "full"}, profile="smoke", notebook="n.ipynb")


@pytest.mark.case("F43")
@pytest.mark.parametrize(
    "given",
    [
        {"trace": "postgresql://app:s3cret@db/lab"},
        {"trace": "postgresql+psycopg://app:s3cr%40et@db:5432/lab"},
        {"trace": "postgresql://app:s3cret@extra@db/lab"},
        {"trace": "postgresql://db/lab?user=app&password=s3cret"},
        {"trace": "host=db password=s3cret"},
        {"batch_size": "postgresql://app:s3cret@db/lab"},
        {"unknown": "postgresql://app:s3cret@db/lab"},
        {"sizes": ["postgresql://app:s3cret@db/lab"]},
        {"url:postgresql://app:s3cret@db/lab?x": "1"},
    ],
)
def test_a_password_is_refused_and_not_repeated(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="environment variable PERFLAB_LAB_URL") as caught:
        bind_parameters(DECLARED, given, profile=None, notebook="n.ipynb")
    assert "s3cr" not in str(caught.value)


def test_a_url_without_a_password_is_an_ordinary_value() -> None:
    given = {"trace": "postgresql://app@db:5432/lab?sslmode=require"}
    assert bind_parameters(DECLARED, given, profile=None, notebook="n.ipynb") == given


def test_a_default_with_a_password_is_refused(tmp_path: Path, write_notebook: Callable[..., Path]) -> None:
    path = write_notebook(tmp_path, parameters='url: str = "postgresql://app:s3cret@db/lab"  # where')
    with pytest.raises(InvalidInput, match="the default of the parameter 'url' holds a password"):
        declared(path)
