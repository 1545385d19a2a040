"""Install the servers that the integration tests start: Postgres, Redis, RabbitMQ.

Debian's packages would start them at once as system services; that is refused
for the time of the installation, since the tests run their own on free ports.

Before: ``make services``.
After: ``tests/support/services.py`` finds the programs.
"""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hack.tooling.errors import ToolError, explain
from hack.tooling.running import run

APT = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
POLICY = Path("/usr/sbin/policy-rc.d")


def missing_packages() -> list[str]:
    """Return the Debian packages whose servers this machine lacks."""
    needed = {
        "postgresql": any(Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        "redis-server": shutil.which("redis-server") is not None,
        "rabbitmq-server": any(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server")),
    }
    return [package for package, is_there in needed.items() if not is_there]


@contextlib.contextmanager
def services_stay_down() -> Iterator[None]:
    """Refuse package scripts that start services, unless the machine has a policy already."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(packages: Sequence[str]) -> None:
    """Install Debian packages without starting their services.

    Raises:
        ToolError: this is no Debian, or apt failed.
    """
    if shutil.which("apt-get") is None:
        raise ToolError(
            f"missing: {', '.join(packages)}",
            advice="install these servers; their programs must be found under /usr",
        )
    with services_stay_down():
        run([*APT, "update"], timeout_seconds=300)
        run([*APT, "install", "-y", "--no-install-recommends", *packages], timeout_seconds=900)


def main() -> int:
    """Install what is missing; say so."""
    packages = missing_packages()
    if not packages:
        return 0
    print(f"installing {', '.join(packages)} for the integration tests (usually 30 s)", flush=True)
    try:
        install(packages)
    except ToolError as error:
        print(explain(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
