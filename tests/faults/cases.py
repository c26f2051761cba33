"""The cases of fault and bad input that perflab has to survive, by number, with what is expected of it in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Case:
    fault: str
    expected: str


SECTIONS: Mapping[str, range] = MappingProxyType(
    {
        "Processes die, and are told to end": range(1, 9),
        "The connection to a server": range(9, 18),
        "A SQLite file": range(18, 25),
        "Data": range(25, 36),
        "Time": range(36, 39),
        "Load": range(39, 41),
        "Hostile input": range(41, 45),
    }
)

_ALL = (
    Case(
        "a process is killed at any step of a job's life",
        "what was acknowledged is there, everything else comes again, and the attempt counts",
    ),
    Case("a process is killed inside a transaction", "nothing of it is there, and the database opens clean"),
    Case(
        "a rescue races a slow but live worker",
        "who lost the lease is refused, each job ends once, and what is done never comes back",
    ),
    Case("whoever rescues dies too, or has more to rescue than one page", "any other goes on where it stopped"),
    Case(
        "SIGTERM, and a second one",
        "what runs may end, the rest is given back at no attempt, exit code 0; the second gives all back",
    ),
    Case(
        "Ctrl-C while a batch is written",
        "the batch is in or waits as a whole, and every future is resolved",
    ),
    Case("no event loop, another one, or none any more", "one clear error, and nothing is dropped in silence"),
    Case("a task is cancelled while its item is written", "the batch is not cut, and no connection comes back dirty"),
    Case("the server ends a connection in the middle of a batch", "nothing of it is in; another connection gets it"),
    Case("the server restarts", "batchers, workers and listeners go on by themselves; nothing is lost or doubled"),
    Case("the connection falls silent without an end", "given up after a bounded time, and workers can be stopped"),
    Case(
        "COMMIT is delivered, and its answer is lost",
        "the ledger is asked, or the error says: unknown",
    ),
    Case(
        "deadlock, serialization failure",
        "locks have an order; a victim is tried again as a whole, and counted",
    ),
    Case(
        "statement_timeout, lock_timeout",
        "a typed error; the batch is cut or comes later; the connection is kept",
    ),
    Case("too many clients, or a pool that is used up", "a bounded wait, then an error with the figures of the pool"),
    Case("a fork after connections were opened", "the child is refused by name, and the parent's are untouched"),
    Case("payloads larger than a notification holds", "only names and numbers are notified; the jobs are in"),
    Case("SQLITE_BUSY: another process writes", "waited for, then tried again, then a typed error"),
    Case("SQLITE_BUSY_SNAPSHOT: a reader turns into a writer", "cannot be: writing transactions begin IMMEDIATE"),
    Case("the disk is full", "the caller hears of it, earlier commits stay, and work goes on when there is space"),
    Case("a damaged page, no database, a cut log", "a typed error, and the file stays as it is, for salvage"),
    Case("a read-only file or folder, a missing one", "refused when it is opened, with what to do"),
    Case("a handle is used by several threads", "one thread at a time has a connection; the others wait, bounded"),
    Case(
        "a misquoted identifier, which SQLite takes for text",
        "no statement of ours has one; columns are compared",
    ),
    Case("more values than the database binds", "sent as arrays or in parts; the number of values has no limit"),
    Case("NUL in text", "refused on every engine before anything is sent, with its place"),
    Case("a lone surrogate", "refused in the same way, and the text of an error is made storable"),
    Case("NaN and infinity", "refused in the same way"),
    Case("integers out of range, and bool as an integer", "refused in the same way"),
    Case("one key twice in one batch of upserts", "the last wins, the others are counted as superseded"),
    Case("one poison row in a batch", "it fails alone after a bounded number of attempts, and the order is kept"),
    Case("a huge payload", "a limit in bytes before it is buffered, and batches are bounded by bytes"),
    Case("a decompression bomb", "refused by its stated size, and stopped where that lies"),
    Case("JSON too deep to be read", "refused when it is put in, and harms only its own job when it is read"),
    Case("identifiers longer than the server keeps", "refused beyond a length that is kept whole"),
    Case("the wall clock jumps", "back: nothing fires twice; forward: one job for each watch"),
    Case("the clocks change", "a daily watch fires once in both nights"),
    Case("ticks overlap, are late, or run in two processes", "each slot once, and what is late as the watch says"),
    Case("producers are faster than the database", "a bounded buffer blocks or refuses, and memory stays flat"),
    Case("low priorities beside an endless stream, a poison job", "a stated bound on the wait, with ageing"),
    Case("SQL in names and values", "names by a pattern, values always bound, the schema stays as it is"),
    Case("pickle and its like", "JSON only, and no source of ours evaluates anything"),
    Case("passwords", "in no error, log, repr, argument, notebook or report"),
    Case(
        "paths that lead out, parameters that are code, markup in names",
        "refused, or nothing but text",
    ),
)
CASES: Mapping[str, Case] = MappingProxyType({f"F{number:02}": case for number, case in enumerate(_ALL, start=1)})
