"""Ways in: the HTTP service and the command line."""
