"""A private PostgreSQL and Valkey for one machine, from wheels."""
