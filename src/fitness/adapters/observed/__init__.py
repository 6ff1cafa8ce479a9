"""Wrappers that count and time the calls of a port; nothing else."""
