"""No message shows a password, however the URL around it is written."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from perflab.database.database import Database
from perflab.database.urls import parse_url, redact, redact_url
from perflab.errors import DatabaseUnusable, InvalidInput

CANARY = "Xq7Canary"
"""Stands inside every password; any trace of it is a leak."""

PASSWORDS = [
    CANARY,
    f"{CANARY}@home",
    f"p@{CANARY}:x",
    f"100%{CANARY}",
    f"%40{CANARY}%3A",
    f"a/{CANARY}",
    f"a?{CANARY}#b",
    f"://{CANARY}",
    f"with space {CANARY}",
    f"quote'{CANARY}",
    f'quote"{CANARY}',
    f"line\n{CANARY}",
]
TEMPLATES = [
    "postgresql://user:{}@localhost/lab",
    "postgresql://us@er:{}@localhost/lab",
    "postgresql://:{}@localhost",
    "postgresql+asyncpg://user:{}@localhost:5432/lab?sslmode=require",
    "postgresql://user:{}@localhost:port/lab",
    "postgresql:/user:{}@localhost/lab",
    "user:{}@localhost",
    "postgresql://localhost/lab?password={}",
    "postgresql://localhost/lab?user=me&sslpassword={}&connect_timeout=3",
    "postgresql://user:{0}@localhost/lab?password={0}",
    "sqlite:///lab.db?password={}",
    "sqlite://user:{}@host/lab.db",
    "sqlite:///file:lab.db?uri=true&token={}",
    "sqlite:////nowhere/at/all/lab.db?PassWord={}",
]


@pytest.mark.case("F43")
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_no_error_of_opening_shows_a_password(template: str, password: str) -> None:
    for written in (password, quote(password, safe="")):
        with pytest.raises((InvalidInput, DatabaseUnusable)) as caught:
            Database.open(template.format(written))
        assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.case("F43")
@given(password=st.text(max_size=20), user=st.text("abz@._-", max_size=5), after=st.text("ab@/?=&", max_size=8))
@example(password="", user="", after="")
def test_a_whole_url_hides_whatever_its_password_holds(password: str, user: str, after: str) -> None:
    url = f"postgresql://{user}:{password}{CANARY}@localhost/{after}"
    assert CANARY not in redact_url(url)


@given(st.text(max_size=20), st.text(max_size=8))
def test_a_url_that_sqlalchemy_wrote_hides_its_password_in_any_text(password: str, user: str) -> None:
    url = URL.create("postgresql+psycopg", user, f"{password}{CANARY}", "db.example", 5432, "lab")
    text = f"could not connect to {url.render_as_string(hide_password=False)}: timed out"
    shown = redact(text)
    assert CANARY not in shown
    assert shown.startswith("could not connect to postgresql+psycopg://")
    assert shown.endswith("@db.example:5432/lab: timed out")


SPELLINGS = [
    "host=h password={} user=u",
    "host=h password='{}' user=u",
    'host=h password="{}" user=u',
    "password = {} user=u",
    "PGPASSWORD={} psql",
    "postgresql://h/lab?sslpassword={}&a=b",
    "https://h/?access_token={}",
    "client_secret={}",
    "passwd={} pwd={} passphrase={}",
]


@pytest.mark.case("F43")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_passwords_in_connection_strings_are_hidden(spelling: str) -> None:
    shown = redact(spelling.format(*[CANARY] * 3))
    assert CANARY not in shown
    assert "***" in shown


def test_a_quoted_password_may_hold_spaces_and_quotes() -> None:
    assert redact(r"password='it\'s Canary' host=h") == "password=*** host=h"


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///lab.db",
        "sqlite:////data/me@home/lab.db",
        "postgresql://user@localhost:5432/lab",
        "bypass=1 compass=2 tokens=3 passes=4",
        "if password == expected:",
        "mail me@example.org at 12:30",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_whole_url_without_a_password_stays_as_it_is() -> None:
    for url in ("sqlite:////data/me@home/lab.db", "postgresql://user@localhost/lab", "sqlite://"):
        assert redact_url(url) == url


def test_a_good_url_is_parsed() -> None:
    assert parse_url("sqlite:///lab.db").database == "lab.db"
    assert parse_url("sqlite+pysqlite:////data/me@home/lab.db").database == "/data/me@home/lab.db"
