"""Every port in plain Python: for trying things out and for fast tests, held to the contracts of the real adapters."""
