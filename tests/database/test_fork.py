"""A database does not cross a fork: the child gets an error, and the parent's file stays whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

FORK = """
    import os, sys
    from perflab.database.database import Database
    from perflab.errors import LifecycleError

    database = Database.open(sys.argv[1])
    with database.driver_transaction() as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    database.fetch("SELECT 1")

    def refused(use):
        try:
            use()
        except LifecycleError as error:
            return "before a fork: open it again in this process" in str(error)

    if (child := os.fork()) == 0:
        uses = [
            lambda: database.fetch("SELECT 1"),
            lambda: database.transaction().__enter__(),
            lambda: database.driver_transaction().__enter__(),
            lambda: database.reading().__enter__(),
            database.create_schema,
        ]
        verdicts = [refused(use) for use in uses]
        database.close()  # harmless
        with Database.open(sys.argv[1]) as own, own.driver_transaction() as connection:
            connection.execute("INSERT INTO item VALUES (1)")
        sys.exit(0 if verdicts == [True] * 5 else 1)  # an orderly end, with everything that it collects

    _, status = os.waitpid(child, 0)
    for _ in range(3):
        with database.driver_transaction() as connection:
            connection.execute("INSERT INTO item (id) VALUES (NULL)")
    print(os.waitstatus_to_exitcode(status), database.fetch("SELECT count(*) FROM item"))
    database.close()
    with Database.open(sys.argv[1]) as reopened:
        print(reopened.fetch("SELECT count(*) FROM item"), reopened.fetch("PRAGMA integrity_check"))
"""


def test_a_fork_is_refused_in_the_child_and_harmless_in_the_parent(
    run_python: Callable[..., subprocess.CompletedProcess[str]], database_url: str
) -> None:
    assert run_python(FORK, database_url).stdout == "0 [(4,)]\n[(4,)] [('ok',)]\n"
