from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.embedded_settings import DEFAULTS, check_settings, is_own, parse_settings, render_settings
from perflab.errors import InvalidInput

names = st.from_regex(r"[a-z_][a-z0-9_]{0,20}(\.[a-z_]{1,10})?", fullmatch=True).filter(lambda name: not is_own(name))
values = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)


@given(st.dictionaries(names, values, max_size=5))
def test_what_is_written_is_read_back(settings: dict[str, str]) -> None:
    assert parse_settings(render_settings(check_settings(settings), base="data/postgresql.conf")) == settings


def test_nothing_of_durability_is_left_to_chance() -> None:
    assert {DEFAULTS[name] for name in ("fsync", "full_page_writes", "synchronous_commit")} == {"on"}
    assert check_settings(DEFAULTS) == DEFAULTS


def test_names_are_compared_as_postgresql_compares_them() -> None:
    assert check_settings({"Work_Mem": "8MB"}) == {"work_mem": "8MB"}
    with pytest.raises(InvalidInput, match="'work_mem' is given twice"):
        check_settings({"Work_Mem": "8MB", "work_mem": "8MB"})


@pytest.mark.parametrize("name", ["", "work mem", "a = 'b'\nfsync", "1st", "müll", "a.", 7, None])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInput, match="is not the name of a PostgreSQL setting"):
        check_settings({name: "1"})


@pytest.mark.parametrize(
    "name",
    ["port", "PORT", "listen_addresses", "unix_socket_group", "include", "include_dir", "hba_file", "log_destination"],
)
def test_what_the_server_decides_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{name.lower()}' is decided by the embedded server"):
        check_settings({name: "1"})


@pytest.mark.parametrize("value", ["a\nfsync = off", "a\x00", "\ud800", 64, None, True])
def test_what_is_no_line_of_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"the setting 'work_mem' is .*: give text of one line"):
        check_settings({"work_mem": value})
