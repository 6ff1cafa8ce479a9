"""Wrappers that protect a port from a store that does not answer, and a store from a flood of requests."""
