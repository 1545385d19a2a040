"""Brings the whole platform up on a cluster, shows it working and takes it away again."""
