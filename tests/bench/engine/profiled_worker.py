"""Our worker with samples of what it computes.

Before: ``workers`` starts it instead of ``python -m orchestrator_worker``.
After: the samples are written when it ends.
"""

import os
import sys
from pathlib import Path

from orchestrator_worker.__main__ import main
from tests.bench.sampling import start_sampling, write_samples

if __name__ == "__main__":
    start_sampling()
    status = main(sys.argv[1:])
    folder = Path(os.environ["ORCHESTRATOR_BENCH_PROFILES"])
    write_samples(folder / f"{os.getpid()}.json")
    sys.exit(status)
