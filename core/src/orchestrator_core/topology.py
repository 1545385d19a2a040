"""Every queue, argument and routing key, declared here and nowhere else.

API, worker and operator declare the same things, whoever comes first. The
names are the original service's: ``task.created`` is the default pool's queue.

Before: ``amqp`` declares it on each new connection.
After: the default exchange routes a message to the queue of its routing key.
"""

TASK_QUEUE = "task.created"
DEAD_QUEUE = "task.dead"

DELIVERY_LIMIT = 20
"""A message is acked once its claim is committed; 20 returns mean that it kills its consumer."""

MAX_LENGTH_MESSAGES = 1_000_000
"""Bounds the broker's disk. A refused publish is rung again later, so nothing is lost."""

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
    "x-max-length": 10_000,
}
