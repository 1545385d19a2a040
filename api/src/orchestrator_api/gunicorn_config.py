"""gunicorn's settings: ``gunicorn -c python:orchestrator_api.gunicorn_config``.

One worker per pod: more pods, not more processes, so that metrics and limits
stay whole. gunicorn restarts the worker if it dies or hangs.

Before: the container starts.
After: ``serving.ApiWorker`` serves ``asgi.app``.
"""

import os
import sys
import tempfile

from orchestrator_api.settings import read_process_settings
from orchestrator_core.errors import SettingsError

try:
    _settings = read_process_settings().api
except SettingsError as error:
    # Before any process is forked: a sentence instead of a stack trace per worker.
    sys.exit(f"orchestrator-api can't start: {error}")


def find_writable_folder() -> str:
    """Return a folder for the worker's heartbeat file, in memory if possible.

    With a read-only root, ``/dev/shm`` is there in every container; ``/tmp`` only as a volume.
    """
    in_memory = "/dev/shm"  # noqa: S108 - gunicorn unlinks its file at once
    return in_memory if os.access(in_memory, os.W_OK) else tempfile.gettempdir()


bind = f"0.0.0.0:{_settings.port}"
workers = 1
worker_class = "orchestrator_api.serving.ApiWorker"
logger_class = "orchestrator_api.serving.JsonLogger"
worker_tmp_dir = find_writable_folder()
# A socket to control gunicorn at run time would be one more door, and one more file to write.
control_socket_disable = True
proc_name = "orchestrator-api"
backlog = 2_048
# Longer than nginx keeps its idle connections (60 s), so that the side which reuses them closes.
keepalive = 75
# A worker whose event loop has not turned for 30 s hangs.
timeout = 30
# First requests, then queues: each gets the drain time, and two seconds to close connections.
graceful_timeout = round(2 * _settings.drain_seconds) + 2
