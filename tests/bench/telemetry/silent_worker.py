"""A worker that counts nothing: ``python -m tests.bench.telemetry.silent_worker``.

Before: ``variants`` starts it instead of ``orchestrator_worker``.
After: it works as always.
"""

import sys

from orchestrator_worker.__main__ import main
from tests.bench.telemetry.silence import silence

if __name__ == "__main__":
    silence()
    sys.exit(main(sys.argv[1:]))
