"""Entry: ``python3 hack/images …`` from anywhere, or ``python3 -m hack.images …``.

Before: a developer, make, or continuous integration.
After: ``cli.main``.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - the reader may well run an older one
    sys.exit("error: Python 3.11 or later is needed\n  what to do: run this with python3.11")

# Started by its folder, Python puts that folder first on the path; the root belongs there.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from hack.images.cli import main  # noqa: E402 - the path had to be set first
from hack.tooling.running import end_on_termination  # noqa: E402 - likewise

if __name__ == "__main__":
    end_on_termination()
    sys.exit(main())
