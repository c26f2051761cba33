"""Why a connection to a PostgreSQL server failed, as one sentence that says what to do."""

from __future__ import annotations

import re

import psycopg
from sqlalchemy import URL

from perflab.database.urls import redact, redact_url
from perflab.errors import InvalidInput, PerflabError, TooManyConnections, TransientError

_BEFORE_THE_REASON = re.compile(
    r"^.* failed: (?:FATAL: +)?|^connection (?:failed|is bad): |^- host: .*hostaddr: '[^']*': "
)
_HINT = re.compile(r"^\s*(?:Is the server running|DETAIL:|HINT:|$)|^Multiple connection attempts failed")

# While a connection is made libpq hands on a text and no SQLSTATE. So these look at the text, and decide on nothing but
# the advice: a server that speaks another language gets the last one.
_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (
            "password authentication failed|authentication failed for user",
            "correct them in the URL (percent-encode what is special, such as @ as %40), PGPASSWORD or ~/.pgpass",
        ),
        ("no password supplied", "the server wants a password: set PGPASSWORD, or give it in ~/.pgpass or in the URL"),
        ("pg_hba", "let this user in from this address in the server's pg_hba.conf, or correct the user in the URL"),
        ('role ".*" does not exist', "create that role (createuser), or correct the user in the URL"),
        ("not permitted to log in", "give that role the right (ALTER ROLE … LOGIN), or use another one"),
        ('database ".*" does not exist', "create it (createdb), or correct the name in the URL"),
        ("permission denied for database", "ask its owner for GRANT CONNECT, or use another database"),
        (
            "not currently accepting",
            "allow connections to it (ALTER DATABASE … ALLOW_CONNECTIONS true), or use another",
        ),
        ("starting up|shutting down|recovery mode", "wait until the server is up, and try again"),
        ("Connection refused", "nothing listens there: start the server, or correct the host and the port in the URL"),
        ("No such file", "no server has its socket there: start it, or correct the host and the port in the URL"),
        ("resolve host|Name or service", "correct the host in the URL, or check your DNS"),
        (
            "time.?out|timed out|unreachable|No route",
            "check the host in the URL, the network, and the firewalls between",
        ),
        ("SSL|certificate", "check that the server speaks TLS, and sslmode and sslrootcert in the URL"),
        ("invalid (?:port number|.* value)", "correct it in the URL"),
    )
)
_TOO_MANY = re.compile("too many (?:connections|clients)|connection slots|no more connections allowed")
_TOO_MANY_ADVICE = (
    "close other connections, open databases with a smaller pool_size, put PgBouncer in between, or raise the limit"
)
_OTHER_ADVICE = "check that the server is there, and that you may use the database"


def connection_failure(error: psycopg.Error, url: URL) -> PerflabError:
    """The typed error for what `psycopg.connect` raised: to be raised `from None`, since that may quote the URL."""
    shown = redact_url(url.render_as_string())
    if isinstance(error, psycopg.ProgrammingError):
        return InvalidInput(
            f"{shown!r} has a parameter that PostgreSQL's client does not know, or not with that value: see the list "
            "at https://www.postgresql.org/docs/current/libpq-connect.html"
        )
    text = str(error)  # libpq quotes no password in it: what it could not take apart is the case above
    reasons = [_BEFORE_THE_REASON.sub("", line).strip() for line in text.splitlines() if not _HINT.match(line)]
    what = f"cannot connect to {shown!r}: {redact(', '.join(dict.fromkeys(reasons)))}"
    if _TOO_MANY.search(text):
        return TooManyConnections(f"{what}; {_TOO_MANY_ADVICE}")
    advice = next((advice for pattern, advice in _ADVICE if pattern.search(text)), _OTHER_ADVICE)
    return TransientError(f"{what}; {advice}")
