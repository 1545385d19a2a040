"""When to try again: exponential backoff with full jitter.

Full jitter spreads the retries of tasks that failed together over the whole
interval (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

Before: the worker's ``executing`` knows that an attempt failed.
After: the delay goes into the row with the outcome; the API's sweep rings when it is due.
"""

from random import Random

BASE_SECONDS = 1.0
CAP_SECONDS = 60.0


def retry_delay_seconds(attempt: int, *, chance: Random) -> float:
    """Return how long to wait after ``attempt`` (1 for the first) failed.

    Returns:
        Seconds, uniform in [0, min(60, 2^(attempt-1))].
    """
    # 2**6 already passes the cap; a larger exponent would only build huge integers.
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(attempt - 1, 6))
    return chance.uniform(0.0, ceiling)
