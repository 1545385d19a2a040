"""Files: taken in for tasks, handed out to their owner; results of tasks as well."""
