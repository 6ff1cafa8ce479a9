"""Wrappers that count and time what goes through a port; nothing else."""
