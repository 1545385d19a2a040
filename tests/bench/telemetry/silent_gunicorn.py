"""gunicorn's production settings for an API that counts nothing.

Before: ``variants`` starts gunicorn with ``-c python:tests.bench.telemetry.silent_gunicorn``.
After: it serves as always.
"""

from orchestrator_api.gunicorn_config import *  # noqa: F403 - exactly the production settings
from tests.bench.telemetry.silence import silence

silence()
