"""Redis, or a server that speaks its protocol: cached copies that may be lost, and state that must be kept."""
