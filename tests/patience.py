"""How long a test waits for what is to happen, before it fails."""

PATIENCE_S = 120.0
"""Nothing is expected to take as long: what takes a second may take a minute while the machine does other things."""
