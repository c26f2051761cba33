"""A future without a condition is a future: to its callers, to `concurrent.futures`, and to asyncio."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    InvalidStateError,
    as_completed,
    wait,
)
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.outcomes import Written
from perflab.batching.part import Submission
from perflab.batching.thread_futures import LazyFuture, ThreadFutures

PATIENCE_SECONDS = 60.0
ROUNDS = 40


def entry_of(future: Future[Any], number: int = 0) -> Submission:
    entry = Submission(None, number, future)  # type: ignore[arg-type]
    entry.number = number
    entry.attempts = 1
    return entry


@pytest.fixture
def futures() -> ThreadFutures:
    return ThreadFutures()


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    """Threads take turns after a few instructions, so that races happen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_it_stands_in_for_everything_that_the_base_class_sets() -> None:
    """If this fails, a Python has come whose futures have one thing more: set it in LazyFuture, or make it late."""
    assert set(vars(Future())) == {"_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks"}


# -- the same as a plain future, whatever happens to it ----------------------------------------------------------------


class Subject:
    """A future, and how a batcher changes its state."""

    def __init__(self, future: Future[Any], futures: ThreadFutures | None) -> None:
        self.future = future
        self.futures = futures
        self.called: list[int] = []
        self.entry = entry_of(future)

    def start(self) -> Any:
        if self.futures is not None:
            return bool(self.futures.start([self.entry]))
        return not (self.future.done() and not self.future.cancelled()) and self.future.set_running_or_notify_cancel()

    def resolve(self) -> Any:
        if self.futures is not None:
            self.futures.resolve(Written([self.entry], ["it"]))
        elif not self.future.done():
            self.future.set_result("it")

    def fail(self) -> Any:
        if self.futures is not None:
            self.futures.resolve(Written(failed=[(self.entry, KeyError("it"))]))
        elif not self.future.done():
            self.future.set_exception(KeyError("it"))

    def call_back(self) -> Any:
        number = len(self.called)
        self.future.add_done_callback(lambda _: self.called.append(number))

    def wait(self) -> Any:
        return [len(some) for some in wait([self.future], 0)]


STEPS: dict[str, Callable[[Subject], Any]] = {
    "start": Subject.start,
    "resolve": Subject.resolve,
    "fail": Subject.fail,
    "call back": Subject.call_back,
    "wait": Subject.wait,
    "cancel": lambda subject: subject.future.cancel(),
    "done": lambda subject: subject.future.done(),
    "cancelled": lambda subject: subject.future.cancelled(),
    "running": lambda subject: subject.future.running(),
    "result": lambda subject: subject.future.result(0),
    "exception": lambda subject: subject.future.exception(0),
    "set result": lambda subject: subject.future.set_result("other"),
    "set exception": lambda subject: subject.future.set_exception(ValueError("other")),
    "shown": lambda subject: repr(subject.future).split(" at ")[1].split(" ", 1)[1],
}


def observed(step: Callable[[Subject], Any], subject: Subject) -> tuple[Any, ...]:
    try:
        seen = step(subject)
    except (Exception, CancelledError) as error:
        seen = error
    if isinstance(seen, BaseException):
        seen = (type(seen), str(seen).split(" at 0x", 1)[0].replace("LazyFuture", "Future"))
    return seen, list(subject.called)


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_whatever_happens_it_answers_as_a_plain_future(names: list[str]) -> None:
    futures = ThreadFutures()
    lazy, plain = Subject(futures.new(), futures), Subject(Future(), None)
    has_started = False
    for name in names:
        if name == "start" and has_started:  # a batch leaves once
            continue
        has_started = has_started or name == "start"
        assert observed(STEPS[name], lazy) == observed(STEPS[name], plain), name


def test_nothing_is_made_for_a_result_that_nobody_waited_for(futures: ThreadFutures) -> None:
    entry = entry_of(future := futures.new())
    assert futures.start([entry]) == [entry]
    assert not future.done()
    futures.resolve(Written([entry], [7]))
    assert future.done()
    assert future.result() == 7
    assert "_condition" not in vars(future)
    assert future.running() is False
    assert "_condition" in vars(future), "or the line above proves nothing"


def test_what_it_does_not_have_is_an_error_as_ever(futures: ThreadFutures) -> None:
    with pytest.raises(AttributeError, match="'LazyFuture' object has no attribute 'reslut'"):
        futures.new().reslut  # noqa: B018


def test_a_batch_leaves_out_what_was_cancelled_or_completed_and_keeps_the_order(futures: ThreadFutures) -> None:
    entries = [entry_of(futures.new(), number) for number in range(6)]
    entries[1].future.cancel()
    entries[3].future.set_result("not ours")
    entries[4].future.add_done_callback(lambda _: None)
    assert [entry.number for entry in futures.start(entries)] == [0, 2, 4, 5]
    for entry in entries:
        entry.attempts = 2
    assert [entry.future.cancel() for entry in entries] == [False, True, False, False, False, False]
    retried = [entries[0], entries[4]]
    assert futures.start(retried) == retried, "what has started once, goes again"


def test_those_for_whom_somebody_waits_are_told_last(futures: ThreadFutures) -> None:
    entries = [entry_of(futures.new(), number) for number in range(5)]
    done: list[list[bool]] = []
    entries[1].future.add_done_callback(lambda _: done.append([entry.future.done() for entry in entries]))
    futures.start(entries)
    futures.resolve(Written(entries, [None] * 5))
    assert done == [[True] * 5], "whoever wakes finds all the others"


def test_a_callback_that_raises_reaches_nobody_else(futures: ThreadFutures, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    entries = [entry_of(futures.new(), number) for number in range(3)]
    for entry in entries:
        entry.future.add_done_callback(fail)
    futures.start(entries)
    futures.resolve(Written(entries, [0, 1, 2]))
    assert [entry.future.result(0) for entry in entries] == [0, 1, 2]
    assert caplog.text.count("a callback of a future failed") == 3


def test_its_own_error_is_raised_again_and_again(futures: ThreadFutures) -> None:
    entry = entry_of(future := futures.new())
    futures.start([entry])
    futures.resolve(Written(failed=[(entry, KeyError("poison"))]))
    for _ in range(2):
        with pytest.raises(KeyError, match="poison"):
            future.result()
    with pytest.raises(InvalidStateError):
        future.set_result(1)


# -- threads -----------------------------------------------------------------------------------------------------------


def run(*targets: Callable[[], Any]) -> list[Any]:
    """All at once, each in a thread of its own; what they returned."""
    results: list[Any] = [None] * len(targets)
    line = threading.Barrier(len(targets))

    def call(index: int) -> None:
        line.wait(PATIENCE_SECONDS)
        results[index] = targets[index]()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(targets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    return results


def batch(futures: ThreadFutures, size: int = 20) -> list[Submission]:
    return [entry_of(futures.new(), number) for number in range(size)]


def read(entries: Sequence[Submission]) -> list[Any]:
    return [entry.future.result(PATIENCE_SECONDS) for entry in entries]


def completed(futures: Sequence[Future[Any]]) -> list[Future[Any]]:
    return list(as_completed(futures, PATIENCE_SECONDS))


def cancel(entries: Sequence[Submission]) -> list[int]:
    return [entry.number for entry in reversed(entries) if entry.future.cancel()]


def call_back(entries: Sequence[Submission], called: list[Any]) -> None:
    for entry in entries:
        entry.future.add_done_callback(lambda future: called.append(future.result(0)))


def write(futures: ThreadFutures, entries: list[Submission]) -> list[int]:
    started = futures.start(entries)
    futures.resolve(Written(list(started), [entry.number for entry in started]))
    return [entry.number for entry in started]


@pytest.mark.usefixtures("hasty_switches")
def test_no_waiter_misses_its_result(futures: ThreadFutures) -> None:
    for _ in range(ROUNDS):
        entries = batch(futures)

        _, *read_by = run(
            partial(write, futures, entries),
            partial(read, entries),
            partial(read, entries[::-1]),
            partial(read, entries),
        )
        assert read_by == [list(range(20)), list(range(19, -1, -1)), list(range(20))]


@pytest.mark.usefixtures("hasty_switches")
def test_wait_and_as_completed_end_when_all_is_there(futures: ThreadFutures) -> None:
    for _ in range(ROUNDS):
        entries = batch(futures)
        every = [entry.future for entry in entries]
        for return_when in (ALL_COMPLETED, FIRST_EXCEPTION):
            waited = run(
                partial(write, futures, [] if every[0].done() else entries),
                partial(wait, every, PATIENCE_SECONDS, return_when),
                partial(completed, every),
            )
            assert waited[1].done == set(every)
            assert waited[1].not_done == set()
            assert sorted(map(id, waited[2])) == sorted(map(id, every))


@pytest.mark.usefixtures("hasty_switches")
def test_two_waits_for_futures_of_two_batchers_do_not_lock_each_other_out() -> None:
    one, two = ThreadFutures(), ThreadFutures()
    for _ in range(ROUNDS):
        ones, twos = batch(one, 5), batch(two, 5)
        every = [entry.future for entry in ones + twos]
        run(
            partial(wait, every, PATIENCE_SECONDS),
            partial(wait, every[::-1], PATIENCE_SECONDS),
            partial(write, one, ones),
            partial(write, two, twos),
        )
        assert all(future.done() for future in every)


@pytest.mark.usefixtures("hasty_switches")
def test_either_it_is_cancelled_or_it_is_written(futures: ThreadFutures) -> None:
    for _ in range(ROUNDS):
        entries = batch(futures)
        written, cancelled = run(
            partial(write, futures, entries),
            partial(cancel, entries),
        )
        assert sorted(written + cancelled) == list(range(20))
        assert all(entries[number].future.result(0) == number for number in written)
        assert all(entries[number].future.cancelled() for number in cancelled)


@pytest.mark.usefixtures("hasty_switches")
def test_a_callback_is_called_once(futures: ThreadFutures) -> None:
    for _ in range(ROUNDS):
        entries = batch(futures)
        called: list[Any] = []

        add = partial(call_back, entries, called)
        run(partial(write, futures, entries), add, add)
        assert sorted(called) == sorted([*range(20), *range(20)])


def blocked_until_released(held: Any, target: Callable[[], Any]) -> bool:
    """Whether a call in another thread waits as long as this one holds something."""
    thread = threading.Thread(target=target)
    with held:
        thread.start()
        thread.join(0.05)
        was_blocked = thread.is_alive()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return was_blocked


def test_a_state_changes_under_the_condition_once_there_is_one(futures: ThreadFutures) -> None:
    entry = entry_of(future := futures.new())
    assert blocked_until_released(future._condition, partial(futures.start, [entry]))
    assert blocked_until_released(future._condition, partial(futures.resolve, Written([entry], [0])))
    assert future.done()


def test_a_condition_is_made_while_no_state_changes(futures: ThreadFutures) -> None:
    future = futures.new()
    assert blocked_until_released(futures._making, future.cancel)
    assert future.cancelled()


def test_coroutines_wait_for_it(futures: ThreadFutures) -> None:
    entries = batch(futures)

    async def read_all() -> list[Any]:
        wrapped = [asyncio.wrap_future(entry.future) for entry in entries]
        thread = threading.Thread(target=write, args=(futures, entries))
        thread.start()
        return await asyncio.wait_for(asyncio.gather(*wrapped), PATIENCE_SECONDS)

    assert asyncio.run(read_all()) == list(range(20))


def test_a_coroutine_that_is_cancelled_takes_its_item_back(futures: ThreadFutures) -> None:
    entry = entry_of(future := futures.new())

    async def leave() -> None:
        asyncio.wrap_future(future).cancel()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert future.cancelled()
    assert futures.start([entry]) == []


def test_only_its_class_is_changed_in_bulk(futures: ThreadFutures) -> None:
    class Own(LazyFuture):
        def set_result(self, result: Any) -> None:
            super().set_result(-result)

    entries = [entry_of(Future()), entry_of(Own(threading.RLock()))]
    futures.start(entries)
    futures.resolve(Written(entries, [3, 3]))
    assert [entry.future.result(0) for entry in entries] == [3, -3]
