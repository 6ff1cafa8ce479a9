"""A private PostgreSQL and Valkey, from wheels, for one machine."""
