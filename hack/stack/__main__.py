"""Entry: ``.venv/bin/python -m hack.stack …``, which is what make runs.

Before: ``make setup`` has made the virtual environment.
After: ``cli.main``.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the reader may well run an older one
    sys.exit("error: Python 3.11 or later is needed\n  what to do: run this with python3.11")

try:
    from hack.stack.cli import main
except ModuleNotFoundError as missing:
    sys.exit(
        f"error: {missing.name} is missing here\n"
        "  what to do: run `make setup`, then `.venv/bin/python -m hack.stack …`"
    )

from hack.tooling.running import end_on_termination

if __name__ == "__main__":
    end_on_termination()
    sys.exit(main(sys.argv[1:]))
