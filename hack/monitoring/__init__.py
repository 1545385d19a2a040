"""Dashboards and alerts as code: what Grafana shows and what Prometheus watches.

Before: ``make generate``.
After: ``charts/orchestrator-operator/files`` holds them; the chart installs them.
"""
