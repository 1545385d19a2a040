"""``python -m orchestrator_api serve`` and ``python -m orchestrator_api migrate``.

Before: a container or a developer starts it.
After: gunicorn has taken this process over, or the schema is up to date.
"""

import argparse
import os
import sys

from orchestrator_api.migrating import MigrateSettings, migrate
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.logs import configure_logs
from orchestrator_core.settings import PostgresSettings, read_settings

GUNICORN = [
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "python:orchestrator_api.gunicorn_config",
    "orchestrator_api.asgi:app",
]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator_api", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the REST API with gunicorn")
    commands.add_parser("migrate", help="bring the schema up to date, then exit")
    if parser.parse_args(arguments).command == "serve":
        os.execv(GUNICORN[0], GUNICORN)  # noqa: S606 - replaces this process, no shell
    configure_logs(app="migrate")
    try:
        migrate(read_settings(MigrateSettings), read_settings(PostgresSettings))
    except OrchestratorError as error:
        print(f"orchestrator-api migrate: {error}", file=sys.stderr)  # noqa: T201 - a command says why
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
