"""The proxy between psycopg and a real PostgreSQL server: round trips, and the faults that a ledger has to survive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from perflab.lab.network.address import Address, TcpAddress, UnixAddress
from perflab.lab.network.faults import Mode
from perflab.lab.network.link import Link
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.probe import Probe
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterMessages, Sends

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def listen(request: pytest.FixtureRequest, folder: Path) -> Address:
    """A port; with the parameter "unix", a socket."""
    return UnixAddress(folder / ".s.PGSQL.6543") if getattr(request, "param", "tcp") == "unix" else TcpAddress()


@pytest.fixture
def meter() -> PostgresMeter:
    return PostgresMeter()


@pytest.fixture
def proxy(postgres_url: str, listen: Address, meter: PostgresMeter) -> Iterator[Proxy]:
    with Proxy(server_address(postgres_url), listen=listen, meter=meter) as running:
        yield running


@pytest.fixture
def connect(postgres_url: str, proxy: Proxy) -> Callable[..., Connection]:
    """Connects through the proxy."""
    with psycopg.connect(postgres_url, autocommit=True) as direct:
        direct.execute("CREATE TABLE items (id int)")
    url = url_through(postgres_url, proxy.address)
    return lambda **options: psycopg.connect(url, **options)


def rows(postgres_url: str) -> list[int]:
    """What is in the table, without the proxy."""
    with psycopg.connect(postgres_url, autocommit=True) as direct:
        return [number for (number,) in direct.execute("SELECT id FROM items ORDER BY id")]


def transaction(connection: Connection) -> None:
    connection.execute("INSERT INTO items VALUES (%s)", [1])
    connection.commit()


def one_statement(connection: Connection) -> None:
    connection.execute("INSERT INTO items VALUES (%s)", [1])


def pipeline(connection: Connection) -> None:
    with connection.pipeline():
        connection.execute("INSERT INTO items VALUES (%s)", [1])
        connection.execute("INSERT INTO items VALUES (%s)", [2])


def copy_in(connection: Connection) -> None:
    with connection.cursor().copy("COPY items FROM STDIN") as copy:
        for number in range(20_000):
            copy.write_row([number])


def copy_out(connection: Connection) -> None:
    with connection.cursor().copy("COPY (SELECT generate_series(1, %s)) TO STDOUT", [5_000]) as copy:
        assert len(list(copy.rows())) == 5_000


@pytest.mark.parametrize(
    ("work", "autocommit", "waits"),
    [
        (transaction, False, (3, 0)),
        (one_statement, True, (1, 0)),
        (pipeline, True, (1, 0)),
        (copy_in, True, (1, 1)),
        (copy_out, True, (1, 0)),
    ],
)
def test_round_trips_are_what_the_driver_waits_for(
    connect: Callable[..., Connection],
    meter: PostgresMeter,
    work: Callable[[Connection], None],
    autocommit: bool,
    waits: tuple[int, int],
) -> None:
    """`waits`: for ReadyForQuery, and for CopyInResponse."""
    with connect(autocommit=autocommit) as connection:
        before = meter.ready_for_query, meter.copy_in_responses
        work(connection)
        assert (meter.ready_for_query - before[0], meter.copy_in_responses - before[1]) == waits
    assert meter.count(Side.SERVER, "E") == 0
    assert meter.ready_for_query_per_connection == (meter.ready_for_query,)


@pytest.mark.parametrize("listen", ["tcp", "unix"], indirect=True)
def test_a_commit_whose_reply_is_lost_has_happened(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy
) -> None:
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COMMIT"))
    with connect() as connection:
        connection.execute("INSERT INTO items VALUES (1)")
        with pytest.raises(psycopg.OperationalError) as caught:
            connection.commit()
        assert caught.value.sqlstate is None  # nobody told the client anything
        assert connection.broken
    assert proxy.fired
    assert rows(postgres_url) == [1]


def test_a_pipeline_whose_reply_is_lost_has_happened_as_a_whole(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy
) -> None:
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"INSERT"))
    with connect(autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
        pipeline(connection)
    assert proxy.fired
    assert rows(postgres_url) == [1, 2]


def test_a_connection_cut_before_its_commit_leaves_nothing(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy
) -> None:
    proxy.arm(Mode.CUT, when=Sends(b"COMMIT"))
    with connect() as connection:
        connection.execute("INSERT INTO items VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert proxy.fired
    assert rows(postgres_url) == []


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.RESET])
def test_a_connection_lost_in_the_middle_of_a_copy_leaves_nothing(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy, mode: Mode
) -> None:
    proxy.arm(mode, when=AfterMessages(2, "d"))
    with connect(autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
        copy_in(connection)
    assert [firing.mode for firing in proxy.fired] == [mode]
    assert rows(postgres_url) == []


def test_work_goes_on_over_a_new_connection(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy
) -> None:
    with connect(autocommit=True) as connection:
        proxy.switch(Mode.RESET)
        with pytest.raises(psycopg.OperationalError):
            one_statement(connection)
        with pytest.raises(psycopg.OperationalError):
            connect()
    proxy.switch(Mode.REFUSE)
    with pytest.raises(psycopg.OperationalError):
        connect()
    proxy.switch(Mode.PASS)
    with connect(autocommit=True) as connection:
        one_statement(connection)
    assert rows(postgres_url) == [1]


def test_a_stalled_statement_waits_in_silence_until_its_connection_ends(
    postgres_url: str, connect: Callable[..., Connection], proxy: Proxy
) -> None:
    with connect(autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
        proxy.switch(Mode.STALL)
        statement = pool.submit(one_statement, connection)
        assert proxy.wait_fired(60.0)
        assert rows(postgres_url) == []
        assert not statement.done()
        proxy.close()
        with pytest.raises(psycopg.OperationalError):
            statement.result(60.0)
    assert rows(postgres_url) == []


def test_a_statement_waits_for_the_round_trip_that_is_added(postgres_url: str, meter: PostgresMeter) -> None:
    link = Link(round_trip_seconds=0.01)
    with (
        Proxy(server_address(postgres_url), link=link, meter=meter, probe=Probe(tolerance_seconds=60.0)) as proxy,
        psycopg.connect(url_through(postgres_url, proxy.address), autocommit=True) as connection,
    ):
        before = meter.ready_for_query, proxy.lateness().deliveries
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert meter.ready_for_query - before[0] == 1
        assert proxy.lateness().deliveries - before[1] >= 2
        assert "asked 10 ms" in str(proxy.added)
