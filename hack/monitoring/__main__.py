"""``python -m hack.monitoring``: see ``writing``."""

import sys

from hack.monitoring.writing import main

if __name__ == "__main__":
    sys.exit(main())
