"""Accepts, reports and dispatches tasks: the REST API and the sweep."""
