"""SQL in files: names, comments, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.statements import load_statements, parse_statements

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
SQL = st.sampled_from(["SELECT 1", "DELETE FROM a\nWHERE b = :c", "INSERT INTO a VALUES ('x;y')"])
COMMENTS = st.sampled_from(["", "-- why it looks so\n", "-- two lines\n--   of reasons\n", "\n\n"])


def test_a_file_is_taken_apart_by_its_name_lines() -> None:
    text = """\
-- Statements of the queue.

-- name: claim
-- The partial index is read in order.
UPDATE jobs
   SET state = 'running'  -- kept
 WHERE id = ?;

-- name: purge
DELETE FROM jobs
"""
    assert parse_statements(text) == {
        "claim": "UPDATE jobs\n   SET state = 'running'  -- kept\n WHERE id = ?",
        "purge": "DELETE FROM jobs",
    }


@given(st.dictionaries(NAMES, st.tuples(COMMENTS, SQL, st.sampled_from(["", ";", ";\n", "\n"])), max_size=5))
def test_what_is_written_under_a_name_is_found_under_it(written: dict[str, tuple[str, str, str]]) -> None:
    text = "".join(f"-- name: {name}\n{comment}{sql}{end}\n" for name, (comment, sql, end) in written.items())
    assert parse_statements(text) == {name: sql for name, (_, sql, _) in written.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1\n-- name: one\nSELECT 2", "SQL before the first"),
        ("-- name: one\n-- only a reason\n", "the statement 'one' is empty"),
        ("-- name: one\n;\n", "the statement 'one' is empty"),
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 2", "two statements named 'one'"),
        ("-- name: One\nSELECT 1", "'-- name: One' does not name a statement"),
        ("-- name: one\nSELECT 1\n --name: two\nSELECT 2", "' --name: two' does not name a statement"),
        ("-- name: claim it\nSELECT 1", "does not name a statement"),
    ],
)
def test_a_file_that_could_be_misread_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_statements(text)


def test_statements_cannot_be_changed() -> None:
    statements = parse_statements("-- name: one\nSELECT 1")
    with pytest.raises(TypeError):
        statements["one"] = "DELETE FROM a"  # type: ignore[index]


def test_the_files_of_the_package_are_loaded_once() -> None:
    statements = load_statements("perflab.queue", "sqlite")
    assert "claim" in statements
    assert load_statements("perflab.queue", "sqlite") is statements
