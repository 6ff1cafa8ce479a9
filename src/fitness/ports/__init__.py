"""What the use cases ask of the outside world, as Protocols; each docstring is a contract with a test suite."""
