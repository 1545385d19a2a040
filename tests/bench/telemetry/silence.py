"""Let a process count nothing: what metrics cost shows beside one that has none.

Before: ``silent_gunicorn`` and ``silent_worker`` begin.
After: every metric is there and takes no notice.
"""

from prometheus_client import Counter, Gauge, Histogram


def silence() -> None:
    """Make every metric of this process deaf."""
    Counter.inc = _ignore  # type: ignore[method-assign,assignment]
    Gauge.set = _ignore  # type: ignore[method-assign,assignment]
    Histogram.observe = _ignore  # type: ignore[method-assign,assignment]


def _ignore(*_: object) -> None:
    pass
