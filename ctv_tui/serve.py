"""The web server: textual-serve with a door."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardServer(Server):  # type: ignore[misc]
    """Serves a dashboard to pages of its own only.

    A browser lets every page open a WebSocket to this machine; without a check of where a request
    comes from, any site could press keys here. So the name in the request and the page's origin
    must be the ones we were started with.
    """

    async def _make_app(self) -> web.Application:
        app: web.Application = await super()._make_app()
        app.middlewares.append(self._door)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: the command has said where it is."""

    def initialize_logging(self) -> None:
        """Log warnings and errors to standard error, without colours or a dump of variables."""
        logging.basicConfig(level=logging.WARNING, format="%(message)s")

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        own = urlsplit(self.public_url)
        names = {own.netloc}
        if own.hostname in ("127.0.0.1", "localhost", "::1"):
            names |= {f"{name}:{own.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        elif self.host in ("0.0.0.0", "::"):
            names.add(request.host)
        origin = request.headers.get("Origin")
        if request.host not in names or (origin and urlsplit(origin).netloc not in names):
            raise web.HTTPForbidden(text="not from here")
        return await handler(request)


def serve(command: str, host: str, port: int, url: str) -> None:
    """Serve what ``command`` (a shell's command line) starts, until SIGINT or SIGTERM.

    Raises:
        OSError: the address can't be listened on.
    """
    DashboardServer(command, host, port, title="ctv-tui", public_url=url).serve()
