"""What an operator has to put right before the service can run."""


class BadSetup(Exception):
    """The service cannot run as it is set up; the message says what to change."""
