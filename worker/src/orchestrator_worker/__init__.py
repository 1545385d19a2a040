"""Claims, executes and settles tasks."""
