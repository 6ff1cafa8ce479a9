"""PostgreSQL: the truth, its SQL and its migrations."""
