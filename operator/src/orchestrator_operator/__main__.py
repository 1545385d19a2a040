"""``python -m orchestrator_operator``: runs the operator.

Before: the environment holds its settings; the pod's service account or a kubeconfig
leads to the cluster.
After: the process ends with 0 when asked to stop, with 2 when its settings are wrong.
"""

import asyncio
import sys

from orchestrator_core.errors import SettingsError
from orchestrator_core.logs import configure_logs
from orchestrator_core.settings import read_settings
from orchestrator_operator.app import run
from orchestrator_operator.settings import OperatorSettings


def main() -> int:
    """Read the settings and run."""
    try:
        settings = read_settings(OperatorSettings)
    except SettingsError as error:
        sys.stderr.write(f"the operator can't start: {error}\n")
        return 2
    configure_logs(app="operator", level=settings.log_level)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
