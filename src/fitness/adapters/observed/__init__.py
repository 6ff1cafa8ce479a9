"""Wrappers that count what goes through a port."""
