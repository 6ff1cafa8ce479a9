"""The measurements of this process, and their way to Prometheus and to a tracing backend."""
