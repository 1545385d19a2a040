"""Stand-ins for what the operator meets outside, for tests."""
