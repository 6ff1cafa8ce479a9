"""Clients generated from the API's document, type-checked strictly and run against the service."""
