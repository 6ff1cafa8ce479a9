"""Entities, value objects and refusals, with the pure functions on them."""
