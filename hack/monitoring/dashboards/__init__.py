"""The five dashboards.

Before: ``selecting`` has the expressions.
After: ``writing`` writes each to a file; tests ask every query of each.
"""

from typing import Final

from hack.monitoring.dashboards.api import API
from hack.monitoring.dashboards.autoscaling import AUTOSCALING
from hack.monitoring.dashboards.overview import OVERVIEW
from hack.monitoring.dashboards.stores import STORES
from hack.monitoring.dashboards.tasks import TASKS
from hack.monitoring.panels import Dashboard

DASHBOARDS: Final[tuple[Dashboard, ...]] = (OVERVIEW, API, TASKS, AUTOSCALING, STORES)
