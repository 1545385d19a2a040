"""How gunicorn runs the application: uvicorn's worker on uvloop, logs as JSON.

Before: gunicorn reads ``gunicorn_config`` and forks one worker.
After: the worker serves ``asgi.app`` until SIGTERM, then finishes what is under way.
"""

import gc
import logging
from typing import Any, ClassVar

from gunicorn.config import Config  # type: ignore[import-untyped] # ships no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped] # ships no types
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # ships no types

from orchestrator_api.settings import read_process_settings
from orchestrator_core.logs import configure_logs

MIN_GARBAGE_OBJECTS = 5_000
"""How many new containers make the collector look for cycles; by default 700, which some seven
requests under way pass. A look at everything stops the process for 40 ms, and for nothing once the
imports are frozen; both together take a tenth of a busy process's CPU time away."""


class ApiWorker(UvicornWorker):  # type: ignore[misc] # ships no types
    """uvicorn with nothing left to guess."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "on",
        # ``request_log`` writes the one line that a request gets.
        "access_log": False,
        "server_header": False,
        # No proxy is trusted yet; its headers would let a client choose its address.
        "proxy_headers": False,
    }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        settings = read_process_settings().api
        # Keep-alive connections without a request close at once; requests under way get this.
        self.config.timeout_graceful_shutdown = max(1, round(settings.drain_seconds))

    def run(self) -> None:
        """Serve until told to stop."""
        # What has been imported by now lives as long as the process: no use in looking at it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(MIN_GARBAGE_OBJECTS)
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
