"""``python -m tests.bench.scaling``; see ``cli``."""

import sys

from tests.bench.scaling.cli import main

sys.exit(main())
