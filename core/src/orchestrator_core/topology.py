"""Every queue, argument and routing key, declared here and nowhere else.

API, worker and operator declare the same things, whoever comes first. The
names are the original service's: ``task.created`` is the default pool's queue.
Another pool of workers has a queue of its own beside it. What no worker can use
goes to one dead-letter queue, where the broker's ``x-death`` header says why:
``rejected`` was no envelope, or could not be claimed for by a fault of ours;
``delivery_limit`` came back too often.

Before: ``amqp`` declares it on each new connection.
After: the default exchange routes a message to the queue of its routing key.
"""

import re

DEFAULT_POOL = "default"
_POOL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A label's value in Kubernetes, so that a pool's queue and its pods share one name."""


def task_queue(pool: str) -> str:
    """Return the name of the queue, which is also the routing key, of a pool of workers.

    Raises:
        ValueError: the name would not do for Kubernetes.
    """
    if not _POOL_NAME.fullmatch(pool):
        raise ValueError(
            f"expected a pool of at most 63 lower-case letters, digits and inner dashes, "
            f"found {pool!r}"
        )
    return "task.created" if pool == DEFAULT_POOL else f"task.created.{pool}"


TASK_QUEUE = task_queue(DEFAULT_POOL)
DEAD_QUEUE = "task.dead"

DELIVERY_LIMIT = 20
"""RabbitMQ 4's own default, said aloud because 3.x had none. A message is acked once its claim
is committed; 20 returns mean that it kills its consumer."""

MAX_LENGTH_MESSAGES = 1_000_000
"""Twice the deepest backlog that is promised, and a bound for the broker's disk: a message is
some hundred bytes. A refused publish is rung again later, so nothing is lost."""

MAX_DEAD_MESSAGES = 10_000
"""A sample for people; the oldest go first. No task depends on them: a doorbell rings again."""

TASK_QUEUE_ARGUMENTS: dict[str, str | int] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
    "x-max-length": MAX_LENGTH_MESSAGES,
    "x-overflow": "reject-publish",
}

DEAD_QUEUE_ARGUMENTS: dict[str, str | int] = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_DEAD_MESSAGES,
}
