"""The page over HTTP: drawn once a second, sent to all who look at it as server-sent events."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from perflab.database.values import check_number
from perflab.errors import InvalidInput, MissingExtra
from perflab.monitoring.dashboard.drawing import draw_page, draw_panels
from perflab.monitoring.dashboard.live import Live
from perflab.monitoring.dashboard.rings import SPAN_OF, SPANS, Span

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import MutableHeaders
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as missing:
    raise MissingExtra(
        "the dashboard needs the packages starlette and uvicorn: pip install 'perflab[dashboard]'"
    ) from missing

logger = logging.getLogger(__name__)

COOKIE = "perflab_dashboard"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
MOST_CONNECTIONS = 200
SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS = 0.1, 60.0
LOOK_SHARE = 0.1
"""Of the time, that reading may take at most: where a look is slow, looks are rarer."""
STOP_SECONDS = 5.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What the page may load is its own; no other page may show or read it."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    A name but `localhost` is taken for one that others may reach, because what it means can change.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Feed:
    """Looks once in an interval, draws for each span that is looked at, and wakes those who wait for it."""

    def __init__(self, live: Live, interval: float) -> None:
        self._live = live
        self._interval = interval
        self._news = asyncio.Condition()
        self._looks = 0
        self._drawn: dict[str, tuple[int, str]] = {}
        """By name of the span: for which look, and the event."""

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await run_in_threadpool(self._live.look)
            except Exception:  # one look less, and not the end of all
                logger.exception("a look at the figures failed; the next one may not")
            async with self._news:
                self._looks += 1
                self._news.notify_all()
            took = clock() - began
            await asyncio.sleep(max(self._interval - took, took / LOOK_SHARE - took, 0.0))

    async def events(self, span: Span, is_over: Callable[[], bool]) -> AsyncIterator[str]:
        """What is drawn of a span, first at once and then after each look."""
        sent = 0
        while not is_over():
            if sent != self._looks or not sent:
                sent = self._looks
                yield await self._event(span)
            async with self._news:
                if sent == self._looks:
                    await self._news.wait()

    async def _event(self, span: Span) -> str:
        looks = self._looks
        known = self._drawn.get(span.name)
        if known is None or known[0] != looks:
            panels = await run_in_threadpool(lambda: draw_panels(self._live.view(span)))
            known = self._drawn[span.name] = looks, f"data: {json.dumps(panels)}\n\n"
        return known[1]


def dashboard_app(
    live: Live,
    *,
    token: str | None = None,
    hosts: Sequence[str] = LOOPBACK_NAMES,
    interval: float = 1.0,
    is_over: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The application, to be served by uvicorn or another ASGI server, or mounted into one's own.

    All requests are GET or HEAD, and change nothing.

    Args:
        live: what is shown.
        token: who does not bring it, as `?token=…`, in the cookie that it is answered with, or as a bearer, gets
            nothing. None: it is open to all who reach it.
        hosts: what the Host header may name. A page elsewhere whose name was made to mean this machine
            (DNS rebinding) is refused by that.
        interval: seconds between looks.
        is_over: whether event streams are to end.
    """
    feed = _Feed(live, interval)

    async def page(request: Request) -> Response:
        if "token" in request.query_params:  # it is in the cookie from now on, and no longer in the address
            answer: Response = RedirectResponse(request.url.remove_query_params("token").path or "/", 303)
            answer.set_cookie(COOKIE, request.query_params["token"], httponly=True, samesite="strict")
            return answer
        span = _span(request)
        return HTMLResponse(await run_in_threadpool(lambda: draw_page(live.view(span))))

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.events(_span(request), is_over), media_type="text/event-stream")

    @asynccontextmanager
    async def looking(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()

    return Starlette(
        routes=[
            Route("/", page),
            Route("/events", events),
            Mount("/static", StaticFiles(packages=[("perflab.monitoring.dashboard", "static")])),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(_Guard, token=token),
        ],
        lifespan=looking,
    )


class _Guard:
    """Lets those pass who bring the token, and gives each answer the headers that keep browsers in line."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app
        if scope["type"] == "http" and self._token is not None and not _is_allowed(Request(scope), self._token):
            app = PlainTextResponse("open the address with the token that was printed\n", 401)
        await app(scope, receive, send_with_headers)


def _span(request: Request) -> Span:
    return SPAN_OF.get(request.query_params.get("span", ""), SPANS[0])


def _is_allowed(request: Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    brought = (
        request.query_params.get("token"),
        request.cookies.get(COOKIE),
        bearer if scheme.lower() == "bearer" else None,
    )
    return any(one is not None and secrets.compare_digest(one.encode(), token.encode()) for one in brought)


class DashboardServer:
    """Serves a dashboard from a thread of its own until it is closed.

    Args:
        live: what is shown.
        host: to listen at. Where others than this machine reach it, a token is needed.
        port: 0 takes a free one; the attribute `port` is the one that was bound.
        token: who does not bring it gets nothing.
        interval: seconds between looks, 0.1 … 60.

    Raises:
        InvalidInput: the address cannot be bound, or others reach it and there is no token.
    """

    def __init__(
        self,
        live: Live,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        token: str | None = None,
        interval: float = 1.0,
    ) -> None:
        check_number(interval, "interval", low=SHORTEST_INTERVAL_SECONDS, high=LONGEST_INTERVAL_SECONDS)
        if token is None and not is_loopback(host):
            raise InvalidInput(f"others reach the dashboard at {host!r}: give a token, or listen at 127.0.0.1")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise InvalidInput(
                f"the dashboard cannot be served at {host}:{port} ({error.strerror}): give another address"
            ) from error
        self.host, self.port = host, self._socket.getsockname()[1]
        self.token = token
        app = dashboard_app(
            live,
            token=token,
            hosts=LOOPBACK_NAMES if is_loopback(host) else ["*"],  # there the token tells friend from foe
            interval=interval,
            is_over=lambda: self._server.should_exit,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="on",
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=int(STOP_SECONDS),
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="perflab-dashboard", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """To be opened in a browser; with the token, if there is one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Serve no longer. Calling it again changes nothing."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
