"""Background jobs, worked off by procrastinate."""
