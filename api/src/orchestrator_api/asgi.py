"""The application that gunicorn imports. The one place that reads the environment at import.

Before: gunicorn's worker process starts.
After: uvicorn serves ``app``.
"""

from orchestrator_api.app import create_app
from orchestrator_api.settings import read_process_settings

app = create_app(read_process_settings())
