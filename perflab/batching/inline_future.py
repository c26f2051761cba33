"""The future of a batcher without a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class InlineFuture(Future[Any]):
    """A future that nobody else will complete: waiting for it writes the batch.

    Args:
        flush: writes everything that was submitted, within a timeout in seconds.
    """

    def __init__(self, flush: Callable[[float | None], None]) -> None:
        super().__init__()
        self._flush = flush

    def result(self, timeout: float | None = None) -> Any:
        self._drive(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._drive(timeout)
        return super().exception(timeout)

    def _drive(self, timeout: float | None) -> None:
        if not self.done():
            self._flush(timeout)
