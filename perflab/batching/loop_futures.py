"""The futures of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from perflab.errors import LifecycleError


def future_maker(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[Any]]:
    """What makes the loop's futures; where that is asyncio's own way, without its Python frame."""
    if type(loop).create_future is asyncio.BaseEventLoop.create_future:
        return partial(asyncio.Future, loop=loop)
    return loop.create_future


def no_loop() -> asyncio.Future[Any]:
    """In place of such a maker, before there is a loop."""
    raise LifecycleError("AsyncRequestBatcher needs a running event loop")


def is_wanted(future: asyncio.Future[Any]) -> bool:
    """Whether nobody has cancelled it. Only reads, so the writer's thread may ask."""
    return not future.cancelled()
