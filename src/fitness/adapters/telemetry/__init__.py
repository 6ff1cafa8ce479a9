"""What this process measured, and how Prometheus and a tracing backend get it."""
