"""The futures of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from perflab.batching.part import Submission
from perflab.errors import LifecycleError


def future_maker(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[Any]]:
    """What makes the loop's futures; where that is asyncio's own way, without its Python frame."""
    if type(loop).create_future is asyncio.BaseEventLoop.create_future:
        return partial(asyncio.Future, loop=loop)
    return loop.create_future


def no_loop() -> asyncio.Future[Any]:
    """In place of such a maker, before there is a loop."""
    raise LifecycleError("AsyncRequestBatcher needs a running event loop")


def wanted(entries: Sequence[Submission]) -> Sequence[Submission]:
    """Those whose futures nobody has cancelled. Only reads, so the writer's thread may ask."""
    return [entry for entry in entries if entry.attempts > 1 or not entry.future.cancelled()]
