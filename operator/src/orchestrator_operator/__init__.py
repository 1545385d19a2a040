"""The operator: observes Orchestrator resources, decides what they need, applies it."""
