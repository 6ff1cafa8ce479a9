"""Machinery that adapters and entrypoints share; the standard library only, and nothing of this service's purpose."""
