"""``python -m tests.bench.types``; see ``cli``."""

import sys

from tests.bench.types.cli import main

sys.exit(main())
