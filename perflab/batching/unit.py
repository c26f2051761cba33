"""Atomic units: items of several operations that are written together or not at all.

A unit travels through a batcher as one submission, so nothing on the way can cut it in half. Only where its rows are
sent is it opened up: there they join the rows of other units and items of the same operation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from perflab.batching.accumulator import Accumulator
from perflab.batching.admission import BlockingSubmitOptions, SubmitOptions
from perflab.batching.inline_future import InlineFuture
from perflab.batching.part import Submission, Unreadable
from perflab.batching.unit_write import Member, UnitWrite
from perflab.database.bulk.compilation import CoreStatement
from perflab.database.core_write import CoreWrites, Row
from perflab.database.load import KeyedRead
from perflab.database.operation import Operation
from perflab.errors import InvalidInput, LifecycleError

Item = TypeVar("Item")
AnyFuture = TypeVar("AnyFuture", bound="Future[Any] | asyncio.Future[Any]")


def tell(write: UnitWrite, whole: Any) -> None:
    """Give each item of a unit what became of the whole."""
    if whole.cancelled():
        for member in write.members:
            member.future.drop()
        return
    error = whole.exception()
    outcomes = whole.result() if error is None else map(Unreadable, write.errors(error))
    for member, outcome in zip(write.members, outcomes, strict=True):
        if member.future.done():  # a waiter on a loop may have been cancelled alone
            continue
        if isinstance(outcome, Unreadable):
            member.future.set_exception(outcome.error)
        else:
            member.future.set_result(outcome)


# -- the futures of items ----------------------------------------------------------------------------------------------


class ItemFuture(InlineFuture):
    """Of an item in a unit, for threads: cancelling it takes back the whole unit, or does nothing."""

    def __init__(self, cancel_unit: Callable[[], bool], flush: Callable[[float | None], None]) -> None:
        super().__init__(flush)
        self._cancel_unit = cancel_unit

    def cancel(self) -> bool:
        return super().cancel() if self.done() else self._cancel_unit()

    def drop(self) -> None:
        if super().cancel():
            self.set_running_or_notify_cancel()


class AsyncItemFuture(asyncio.Future[Any]):
    """The same for asyncio, where a waiter of a unit that has left may be cancelled alone."""

    def __init__(self, cancel_unit: Callable[[], bool]) -> None:
        super().__init__()
        self._cancel_unit = cancel_unit

    def cancel(self, msg: Any | None = None) -> bool:
        return (not self.done() and self._cancel_unit()) or super().cancel(msg)

    def drop(self) -> None:
        super().cancel()


# -- the block ---------------------------------------------------------------------------------------------------------

_OPEN: ContextVar[tuple[object, ...]] = ContextVar("open_units", default=())
"""The batchers for which this thread or task is collecting a unit."""


class AtomicUnit(Generic[AnyFuture]):
    """Collects items in a `with` or `async with` block, and submits them as one at its end.

    Args:
        batcher: to submit to.
        operations: of Core statements.
        make_future: for an item; it is given what takes the whole unit back.
        send: submits the whole.
    """

    def __init__(
        self,
        batcher: object,
        operations: CoreWrites,
        make_future: Callable[[Callable[[], bool]], AnyFuture],
        send: Callable[[UnitWrite], Any],
    ) -> None:
        self._batcher = batcher
        self._operations = operations
        self._make_future = make_future
        self._send = send
        self._members: list[Member] = []
        self._token: Token[tuple[object, ...]] | None = None
        self._is_over = False
        self._write: UnitWrite | None = None
        self._whole: Any = None

    @overload
    def submit(self, operation: CoreStatement, item: Row) -> AnyFuture: ...

    @overload
    def submit(self, operation: Operation[Item, Any], item: Item) -> AnyFuture: ...

    def submit(self, operation: Any, item: Any) -> AnyFuture:
        """Add one item; the future has its own result, once the unit is committed.

        Raises:
            InvalidInput: the operation cannot be batched, or reads.
            LifecycleError: outside of the block.
        """
        if self._token is None or self._is_over:
            raise LifecycleError("the unit takes items only inside its own with block")
        if not hasattr(operation, "apply"):
            operation = self._operations.operation(operation)
        if isinstance(operation, KeyedRead):
            raise InvalidInput(f"{operation.name} reads, and an atomic unit writes: submit it to the batcher instead")
        future = self._make_future(self._cancel)
        self._members.append(Member(operation, item, future, len(self._members)))
        return future

    def __enter__(self) -> Self:
        if self._token is not None:
            raise LifecycleError("this unit was used before: take another one from atomic()")
        if any(batcher is self._batcher for batcher in _OPEN.get()):
            raise LifecycleError(
                "a unit of this batcher is open here already: put all into one, or end the outer first"
            )
        self._token = _OPEN.set((*_OPEN.get(), self._batcher))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        if self._token is not None:
            _OPEN.reset(self._token)
        if kind is not None:
            self._cancel()
        if self._is_over or not self._members:
            self._is_over = True
            return
        self._is_over = True
        self._write = UnitWrite(self._members)
        try:
            self._whole = self._send(self._write)
        except BaseException as error:
            for member in self._members:
                member.future.set_exception(error)
            raise
        self._whole.add_done_callback(partial(tell, self._write))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.__exit__(kind, *exception)

    def _cancel(self) -> bool:
        if self._write is None:
            self._is_over = True
            for member in self._members:
                member.future.drop()
            return True
        # Nobody holds a future of it before the block has ended, but for the thread that is in it.
        return self._write.drop() and bool(self._whole.cancel())


class SubmitsUnits:
    """What a `RequestBatcher` has for units."""

    _core_writes: CoreWrites
    _inline: bool
    submit: Callable[..., Future[Any]]
    _accumulator: Accumulator[Submission]
    flush: Callable[[float | None], None]

    def atomic(self, **options: Unpack[BlockingSubmitOptions]) -> AtomicUnit[Future[Any]]:
        """A `with` block whose items are written together or not at all; the options are those of `submit`.

        `with batcher.atomic() as unit: unit.submit(…); unit.submit(…)`. At its end all is submitted as one; nothing is,
        if the block raises. A unit of nothing but inserts may come in any order: what others refer to is written first.
        In other units the items keep their order. Several units share a transaction, each whole. If one of its items is
        refused, a unit is not written: the future of that item has its error, the others have `UnitBroken`. Cancelling
        one future takes the whole unit back until it has left.

        For all bounds, events and metrics a unit counts as all of its items. It is never split: one that is larger than
        `batch_size` leaves alone, and a buffer with any room takes a whole one.
        """
        if options.get("lane") is None:  # a lane has it counted
            options["lane"] = self._accumulator.lanes.usual_name
        return AtomicUnit(
            self,
            self._core_writes,
            lambda cancel: ItemFuture(cancel, self._flush_inline),
            lambda unit: self.submit(unit, None, **options),
        )

    def _flush_inline(self, timeout: float | None) -> None:
        if self._inline:
            self.flush(timeout)


class AsyncSubmitsUnits:
    """The same for an `AsyncRequestBatcher`."""

    _core_writes: CoreWrites
    submit: Callable[..., asyncio.Future[Any]]
    _accumulator: Accumulator[Submission]

    def atomic(self, **options: Unpack[SubmitOptions]) -> AtomicUnit[asyncio.Future[Any]]:
        """As `RequestBatcher.atomic`, with `async with` or `with`: the block does not wait for its items.

        A cancelled waiter takes the whole unit back if it has not left; otherwise only the waiter is cancelled.
        """
        if options.get("lane") is None:  # a lane has it counted
            options["lane"] = self._accumulator.lanes.usual_name
        return AtomicUnit(self, self._core_writes, AsyncItemFuture, lambda unit: self.submit(unit, None, **options))
