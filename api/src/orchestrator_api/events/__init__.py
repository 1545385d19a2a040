"""Events: tasks followed as they go, as streams and as long polls."""
