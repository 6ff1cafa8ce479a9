"""Background jobs, run by procrastinate."""
