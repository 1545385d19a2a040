"""``python -m tests.bench.engine``; see ``cli``."""

import sys

from tests.bench.engine.cli import main

sys.exit(main())
