"""What every system does here, so that figures differ by the system alone.

A task has a payload of some 256 bytes, does nothing, and leaves a result of 256 bytes. Its row is
committed before its message is published; the message is persistent, confirmed, in a quorum queue,
and acknowledged only when the row can't be lost any more.

Before: nothing; producers, workers and the measurement all read it.
After: the row of each completed task holds ``RESULT``.
"""

import json

PAYLOAD = json.dumps({"filler": "p" * 240})
RESULT = b"r" * 256
TASK_TYPE = "bench_noop"

WORKER_PROCESSES = 2
IN_FLIGHT_PER_PROCESS = 100
"""Of systems that run tasks on an event loop."""
THREADS_PER_PROCESS = 8
"""Of systems that run tasks in threads or processes, which wait for Postgres meanwhile."""
PRODUCER_CLIENTS = 64
"""Submissions at the same time, each waiting for its answer."""
PRODUCER_THREADS = 16
"""Of systems whose submit function blocks."""
MAX_READY_MESSAGES = 500
"""Producers pause above this when they work side by side with workers."""
