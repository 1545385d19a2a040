"""What every process of the Orchestrator must agree on: nouns, stores, settings."""
