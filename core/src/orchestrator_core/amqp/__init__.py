"""The only package that speaks to RabbitMQ."""
