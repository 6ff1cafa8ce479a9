"""Redis, or a server that speaks its protocol: copies that may be lost."""
