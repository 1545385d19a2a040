"""Tasks: received, understood, kept, answered; later told."""
