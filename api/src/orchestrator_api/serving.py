"""How gunicorn runs the application: uvicorn's worker on uvloop, logs as JSON.

Before: gunicorn reads ``gunicorn_config`` and forks one worker.
After: the worker serves ``asgi.app`` until SIGTERM, then finishes what is under way.
"""

import logging
import socket
import sys
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped] # ships no types
from gunicorn.config import Config  # type: ignore[import-untyped] # ships no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped] # ships no types
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # ships no types

from orchestrator_api.events.feed import EventFeed
from orchestrator_api.http_protocol import BoundedHttpProtocol
from orchestrator_api.settings import read_process_settings
from orchestrator_core.garbage import spare_imports
from orchestrator_core.logs import configure_logs


class ApiServer(Server):
    """uvicorn's server, which tells the application first that it is about to stop."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, streams at once: they have no end of their own."""
        # What the lifespan opened; empty when it could not.
        feed: EventFeed | None = self.lifespan.state.get("feed")
        if feed is not None:
            feed.leave()
        await super().shutdown(sockets)


class ApiWorker(UvicornWorker):  # type: ignore[misc] # ships no types
    """uvicorn with nothing left to guess."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": BoundedHttpProtocol,
        "ws": "none",
        "lifespan": "on",
        # ``request_log`` writes the one line that a request gets.
        "access_log": False,
        "server_header": False,
        # Its headers count beside the key of the edge alone; see ``limits.client_addresses``.
        "proxy_headers": False,
    }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        settings = read_process_settings().api
        # Keep-alive connections without a request close at once; requests under way get this.
        self.config.timeout_graceful_shutdown = max(1, round(settings.drain_seconds))

    async def _serve(self) -> None:
        # As the parent's, which leaves no room for a server of ours.
        self.config.app = self.wsgi
        server = ApiServer(self.config)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        """Serve until told to stop."""
        spare_imports()
        super().run()


class JsonLogger(Logger):  # type: ignore[misc] # ships no types
    """gunicorn's own lines among ours: one JSON object each."""

    def setup(self, cfg: Config) -> None:
        """Send gunicorn's and uvicorn's lines through the process's handler."""
        self.cfg = cfg
        configure_logs(app="api", level=read_process_settings().api.log_level)
        self.error_log.handlers = list(logging.getLogger().handlers)
        self.error_log.setLevel(logging.INFO)
        self.access_log.handlers = []
