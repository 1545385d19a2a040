"""A client's manners: when the API says when to come back, come back then.

Before: ``demonstrating`` sends more than its user's limit lets through.
After: each request is answered, later; a person sees how long that took.
"""

import time
from collections.abc import Callable

import httpx

PATIENCE_SECONDS = 60.0
"""For one request. A limit is a matter of seconds; what takes longer is a fault to be shown."""


class Patient(httpx.BaseTransport):
    """Sends a request again when the answer has ``Retry-After``: it was not carried out."""

    def __init__(
        self, inner: httpx.BaseTransport, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._inner = inner
        self._sleep = sleep
        self.waited_seconds = 0.0
        """How long it has waited in all."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer that is not "later", or the last one when patience ends."""
        patience_seconds = PATIENCE_SECONDS
        while True:
            response = self._inner.handle_request(request)
            asked_seconds = _asked_to_wait(response)
            if asked_seconds is None or asked_seconds > patience_seconds:
                return response
            response.read()
            response.close()
            patience_seconds -= asked_seconds
            self.waited_seconds += asked_seconds
            self._sleep(asked_seconds)

    def close(self) -> None:
        """Close what it sends through."""
        self._inner.close()


def _asked_to_wait(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``, at least one, or None where there is none."""
    asked = response.headers.get("Retry-After", "")
    if response.status_code not in (429, 503) or not asked.isdigit():
        return None
    # Zero would be an invitation to ask for ever.
    return max(1.0, float(asked))
