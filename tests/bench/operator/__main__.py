"""``python -m tests.bench.operator``; see ``cli``."""

import sys

from tests.bench.operator.cli import main

sys.exit(main())
