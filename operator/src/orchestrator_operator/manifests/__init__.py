"""Builders: pure functions from a ``Context`` to manifests, one file for each part."""
