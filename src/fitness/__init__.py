"""fitness: a service for people's training activities."""

__version__ = "0.1.0"
