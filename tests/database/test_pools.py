"""Pools: how many connections, who has them when there are none, and which of them are looked at again."""

from __future__ import annotations

import os
import pickle
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy.engine import make_url

from perflab.database.database import Database
from perflab.database.postgresql import PostgresConnection
from perflab.database.postgresql_pools import default_size, usable_cores
from perflab.errors import InvalidInput, PoolExhausted, TooManyConnections, TransientError
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.faults import Mode
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.triggers import Sends

# -- how many ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "server_limit", "own_limit", "expected"),
    [(2, 97, None, 5), (64, 97, None, 24), (64, 997, None, 129), (2, 97, 3, 3), (2, 97, 0, 1), (1, 2, None, 1)],
)
def test_the_default_size(cores: int, server_limit: int, own_limit: int | None, expected: int) -> None:
    assert default_size(cores, server_limit, own_limit) == expected


def test_the_size_comes_from_the_cores_and_the_server(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        free = connection.execute("SELECT current_setting('max_connections')::int - 3").fetchone()
        name = make_url(postgres_url).database
        assert free
        with Database.open(postgres_url) as database:
            assert database._pools.writer.size == default_size(usable_cores(), free[0], None)
        connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 2")
        with Database.open(postgres_url) as database:
            assert database._pools.writer.size == 2


def test_no_more_connections_than_asked_for(database_url: str) -> None:
    with Database.open(database_url, pool_size=3, busy_timeout=0.0) as database:
        with database.reading(), database.reading(), database.reading(), pytest.raises(PoolExhausted):
            database.fetch("SELECT 1")
        assert database.fetch("SELECT 1") == [(1,)]


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3"])
def test_a_size_that_is_none_is_refused(database_url: str, size: object) -> None:
    with pytest.raises(InvalidInput, match="pool_size"):
        Database.open(database_url, pool_size=size)  # type: ignore[arg-type]


# -- none is free ------------------------------------------------------------------------------------------------------


@contextmanager
def held_by_a_thread(database: Database) -> Iterator[None]:
    """The only reading connection, held by a thread called "loader"."""
    held, let_go = threading.Event(), threading.Event()

    def load_for_ever() -> None:
        with database.reading():
            held.set()
            let_go.wait()

    thread = threading.Thread(target=load_for_ever, name="loader")
    thread.start()
    held.wait()
    try:
        yield
    finally:
        let_go.set()
        thread.join()


@pytest.mark.case("F15")
def test_exhaustion_tells_the_figures_and_who_holds_what(database_url: str) -> None:
    with (
        Database.open(database_url, pool_size=1, busy_timeout=1.0) as database,
        held_by_a_thread(database),
        ThreadPoolExecutor(3) as threads,
    ):
        together = threading.Barrier(3)

        def read() -> None:
            together.wait()
            database.fetch("SELECT 1")

        waiting = [threads.submit(read) for _ in range(3)]
        errors = [future.exception() for future in waiting]
    assert all(isinstance(error, PoolExhausted) and isinstance(error, TransientError) for error in errors)
    first = next(error for error in errors if isinstance(error, PoolExhausted) and error.waiting == 2)
    assert (first.size, first.in_use) == (1, 1)
    assert first.longest_held_seconds >= 1.0
    assert re.fullmatch(
        r"no connection was free within 1 s: 1 of 1 are in use, 2 other threads wait too, and the longest is held "
        r"for \d+\.\d s by thread 'loader', now at test_pools\.py:\d+ in load_for_ever; make transactions and reads "
        r"shorter, or raise pool_size or busy_timeout",
        str(first),
    )


def test_a_thread_that_waits_for_itself_is_told_so(database_url: str) -> None:
    with (
        Database.open(database_url, pool_size=1, busy_timeout=0.0) as database,
        database.reading(),
        pytest.raises(PoolExhausted, match=r"held for \d+\.\d s by this thread, now at test_pools\.py"),
    ):
        database.fetch("SELECT 1")


@pytest.mark.case("F15")
def test_exhaustion_crosses_processes() -> None:
    error = PoolExhausted("none", size=3, in_use=2, waiting=1, longest_held_seconds=0.5)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.case("F15")
def test_a_server_without_a_free_connection_says_what_to_do(postgres_url: str) -> None:
    name = make_url(postgres_url).database
    with Database.open(postgres_url, pool_size=4) as database, psycopg.connect(postgres_url) as other:
        other.execute("CREATE ROLE crowd LOGIN").connection.commit()
        url = make_url(postgres_url).set(username="crowd").render_as_string()
        try:
            other.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 3").connection.commit()
            with Database.open(url, pool_size=3) as mine:
                message = "too many connections for database .*; close other .* smaller pool_size, put PgBouncer in"
                with mine.reading(), pytest.raises(TooManyConnections, match=message) as caught:
                    mine.fetch("SELECT 1")
                assert isinstance(caught.value, TransientError)
                with pytest.raises(TooManyConnections, match=message):
                    Database.open(url)
                assert mine.fetch("SELECT 1") == [(1,)]
        finally:
            other.execute("DROP ROLE crowd").connection.commit()
        assert database.fetch("SELECT 1") == [(1,)]


# -- lost connections --------------------------------------------------------------------------------------------------


def processes(database: Database, count: int) -> list[int]:
    """The server's process numbers of `count` connections, all taken out of the pool at once."""
    if count == 0:
        return []
    with database.writing_connection() as connection:
        assert isinstance(connection, PostgresConnection)
        return [connection.info.backend_pid, *processes(database, count - 1)]


def end(postgres_url: str, process_ids: list[int]) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        ended = other.execute("SELECT pg_terminate_backend(pid, 10_000) FROM unnest(%s) pid", [process_ids]).fetchall()
        assert ended == [(True,)] * len(process_ids)  # the fault fired


@pytest.fixture
def pool(postgres_url: str) -> Iterator[Database]:
    with Database.open(postgres_url, pool_size=3) as opened:
        yield opened


@pytest.mark.case("F09")
def test_what_was_ended_in_the_pool_is_replaced_before_it_is_used(pool: Database, postgres_url: str) -> None:
    before = processes(pool, 3)
    end(postgres_url, before)
    for _ in range(6):
        assert pool.fetch("SELECT 1") == [(1,)]
    after = processes(pool, 3)
    assert not set(before) & set(after)


def test_only_what_is_lost_is_replaced(pool: Database, postgres_url: str) -> None:
    before = processes(pool, 3)
    with pytest.raises(psycopg.OperationalError), pool.driver_transaction() as connection:
        assert isinstance(connection, PostgresConnection)
        lost = connection.info.backend_pid
        end(postgres_url, [lost])
        connection.execute("SELECT 1")
    assert set(before) - set(processes(pool, 3)) == {lost}


def test_nobody_is_asked_without_a_doubt(pool: Database, postgres_url: str) -> None:
    processes(pool, 3)

    def cost_of_three() -> int:
        with pool.counting() as count:
            processes(pool, 3)
        return count.round_trips

    assert cost_of_three() == 0
    with pytest.raises(psycopg.errors.UniqueViolation), pool.driver_transaction() as connection:
        connection.execute("CREATE TABLE once (id int PRIMARY KEY)")
        connection.execute("INSERT INTO once VALUES (1), (1)")
    with pytest.raises(ZeroDivisionError), pool.transaction():
        raise ZeroDivisionError
    assert cost_of_three() == 0  # an answer of the server's, or none of its business, is no reason for doubt
    with pytest.raises(psycopg.OperationalError), pool.driver_transaction() as connection:
        assert isinstance(connection, PostgresConnection)
        end(postgres_url, [connection.info.backend_pid])
        connection.execute("SELECT 1")
    assert cost_of_three() == 2  # the other two are asked, once
    assert cost_of_three() == 0


@pytest.mark.case("F11")
def test_a_connection_that_does_not_answer_is_replaced(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.database.postgresql_pools.PROOF_SECONDS", 0.2)
    with (
        Proxy(server_address(postgres_url), listen=TcpAddress(), meter=PostgresMeter()) as proxy,
        Database.open(url_through(postgres_url, proxy.address), pool_size=2) as database,
    ):
        before = processes(database, 1)
        database._pools.writer.doubts += 1
        proxy.arm(Mode.STALL, when=Sends(b"SELECT 1"))
        assert processes(database, 1) != before
        assert len(proxy.fired) == 1


def test_what_a_connection_counted_stays_counted(pool: Database, postgres_url: str) -> None:
    pool.fetch("SELECT 1")
    before = pool.round_trips
    end(postgres_url, processes(pool, 1))
    pool.fetch("SELECT 1")
    assert pool.round_trips == before + 1
    assert len(list(pool._connections)) == 1  # and what is closed is forgotten
    pool.close()
    assert (pool.round_trips, list(pool._connections)) == (before + 1, [])


def test_a_connection_that_comes_back_after_close_is_closed(pool: Database) -> None:
    with pool.writing_connection() as connection:
        assert isinstance(connection, PostgresConnection)
        pool.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert connection.closed


@pytest.mark.case("F11")
def test_a_host_that_is_gone_is_noticed_within_a_minute(postgres_url: str) -> None:
    with (
        Proxy(server_address(postgres_url), listen=TcpAddress()) as proxy,
        Database.open(url_through(postgres_url, proxy.address)) as database,
        database.writing_connection() as connection,
    ):
        assert isinstance(connection, PostgresConnection)
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as its_socket:
            idle, interval, probes = (
                its_socket.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert its_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert idle + interval * probes == 60
            assert its_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
