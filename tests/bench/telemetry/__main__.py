"""``python -m tests.bench.telemetry``; see ``cli``."""

import sys

from tests.bench.telemetry.cli import main

sys.exit(main())
