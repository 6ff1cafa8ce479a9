"""PostgreSQL, the source of truth: its SQL and its migrations."""
