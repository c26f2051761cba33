"""All that a process does so that others see how it is doing, in one block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from perflab.database.database import Database
from perflab.errors import DatabaseError
from perflab.monitoring.failure_log import FailureLog
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry

logger = logging.getLogger(__name__)


@contextmanager
def monitored(database: Database, *, interval: float = 1.0) -> Iterator[MetricsRegistry]:
    """Count what happens on a database, publish it there for `perflab metrics` and `perflab dashboard`, and log each
    failure, for the length of a `with` block. `perflab worker` and `perflab scheduler` do their work inside one.

    What cannot be published, such as by a user who may not write into the table, is logged: work goes on without it.

    Args:
        database: `create_schema()` has run. All parts that are built on this object are counted.
        interval: seconds between two publications, 0.1 … 600; each is one short write.

    Yields:
        What was counted so far.

    Raises:
        InvalidInput: the interval is out of its range.
    """
    registry = MetricsRegistry()
    with ExitStack() as stack:
        stack.enter_context(FailureLog(database))
        stack.enter_context(registry.observing(database))
        try:
            stack.enter_context(MetricsPublisher(registry, database, interval=interval))
        except DatabaseError as error:
            logger.warning("the metrics of this process are not published: %s", error)
        yield registry
