"""The worker's command line: ``python -m orchestrator_worker [publish-types]``.

Before: the container starts it, or the operator's migration Job.
After: ``app`` serves until SIGTERM, or publishes the task types once.
"""

import argparse
import sys
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from orchestrator_core.errors import OrchestratorError
from orchestrator_core.logs import configure_logs
from orchestrator_core.settings import PostgresSettings, read_settings
from orchestrator_worker.app import publish_types, serve
from orchestrator_worker.settings import read_process_settings

EXIT_CRASHED = 1
EXIT_REFUSED = 2
"""It can't work with what it was given; the log says what to change."""


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    parser = argparse.ArgumentParser(prog="orchestrator_worker", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=["serve", "publish-types"],
        default="serve",
        help="run tasks until SIGTERM (the default), or publish the installed task types and exit",
    )
    command = parser.parse_args(arguments).command
    configure_logs(app="worker")
    try:
        uvloop.run(_command(command))
    except OrchestratorError as error:
        structlog.get_logger(__name__).error("refused", code=error.code, reason=str(error))
        return EXIT_REFUSED
    except Exception:  # noqa: BLE001 - the process ends here, and says why as JSON
        structlog.get_logger(__name__).critical("crashed", exc_info=True)
        return EXIT_CRASHED
    return 0


def _command(name: str) -> Coroutine[Any, Any, None]:
    if name == "publish-types":
        return publish_types(read_settings(PostgresSettings))
    settings = read_process_settings()
    configure_logs(app="worker", level=settings.worker.log_level)
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
