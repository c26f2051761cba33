"""The dashboard as the output of a notebook's cell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Self

from perflab.database.database import Database
from perflab.database.values import check_number, shown
from perflab.errors import InvalidInput, MissingExtra
from perflab.monitoring.dashboard.drawing import draw_output
from perflab.monitoring.dashboard.live import THIS_PROCESS, Live
from perflab.monitoring.dashboard.rings import SPAN_OF
from perflab.monitoring.periodic import Periodic
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.source import of_database, of_process

logger = logging.getLogger(__name__)

SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS = 0.1, 600.0
Show = Callable[[str], None]


class LiveView:
    """Shows a dashboard below the cell that makes it, and draws it anew until it is closed.

        with LiveView(db):
            ...  # the cell goes on, and what it does is seen

    It is static HTML: it stays in the saved notebook and in reports as it was at the end.

    Args:
        subject: a database, for its tables and all processes that publish there; or a registry of this process.
        span: "5m", "1h" or "8h".
        interval: seconds between two looks, 0.1 … 600.
        show: shows HTML, each time in the place of what was shown before; None: IPython's display.

    Raises:
        InvalidInput: an argument is out of its range.
        MissingExtra: jinja2 or IPython is not installed.
    """

    def __init__(
        self,
        subject: Database | MetricsRegistry,
        *,
        span: str = "5m",
        interval: float = 1.0,
        show: Show | None = None,
    ) -> None:
        if span not in SPAN_OF:
            raise InvalidInput(f"the span is {shown(span)}: give one of {', '.join(SPAN_OF)}")
        self._span = SPAN_OF[span]
        self._interval = check_number(
            interval, "interval", low=SHORTEST_INTERVAL_SECONDS, high=LONGEST_INTERVAL_SECONDS
        )
        if isinstance(subject, Database):
            self._live = Live(of_database(subject), str(subject.url))
        else:
            self._live = Live(of_process(subject), THIS_PROCESS)
        self._show = show or _shown_by_ipython()
        self.refresh()
        self._drawings = Periodic(
            self._try_to_refresh, lambda: self._interval, "perflab-view", without="call refresh() now and then"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Look and draw now."""
        self._live.look()
        self._show(draw_output(self._live.view(self._span)))

    def close(self) -> None:
        """Draw for the last time. Calling it again changes nothing."""
        if self._drawings.close():
            self.refresh()

    def _try_to_refresh(self) -> None:
        try:
            self.refresh()
        except Exception:  # the next one may do
            logger.exception("the view could not be drawn")


def _shown_by_ipython() -> Show:
    try:
        from IPython.display import HTML, DisplayHandle  # noqa: PLC0415  # of an extra
    except ImportError as error:
        raise MissingExtra("a view needs IPython: pip install 'perflab[lab]', or give `show`") from error
    handle = DisplayHandle()  # type: ignore[no-untyped-call]
    is_first = True

    def show(html: str) -> None:
        nonlocal is_first
        # IPython has no types for them
        (handle.display if is_first else handle.update)(HTML(html))  # type: ignore[no-untyped-call]
        is_first = False

    return show
