"""Lines for whoever waits: progress and faults, at once.

Before: everything that takes long.
After: a person, or a program that reads lines.
"""

import sys
from typing import TextIO


def say(text: str, stream: TextIO = sys.stdout) -> None:
    """Print a line and flush it."""
    print(text, file=stream, flush=True)


def warn(text: str) -> None:
    """Print a line to standard error."""
    say(text, sys.stderr)
