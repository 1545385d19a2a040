"""Install the servers that the tests start: Postgres, Redis, RabbitMQ, Prometheus.

The tests run their own copies on free ports; the system's services are not started.

Before: ``make services``.
After: ``tests/support/services.py`` finds the programs.
"""

import sys
from pathlib import Path

from hack.tooling import packages
from hack.tooling.errors import ToolError, explain
from hack.tooling.packages import Program
from hack.tooling.steps import Progress

SERVERS = (
    Program("/usr/lib/postgresql/*/bin/postgres", "postgresql"),
    Program("redis-server", "redis-server"),
    Program("/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server", "rabbitmq-server"),
    Program("prometheus", "prometheus"),
)
LOGS = Path("~/.cache/orchestrator-services")


def main() -> int:
    """Install what is missing; say so."""
    try:
        packages.install(SERVERS, Progress(LOGS.expanduser()), usual_seconds=30)
    except ToolError as error:
        print(explain(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
