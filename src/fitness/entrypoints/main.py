"""The program `fitness`. Ctrl-C ends it without a word while its command line is loaded, which takes half a second."""

import signal


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # `make run` starts this with SIGINT blocked: Python itself, while it starts, answers it with a traceback.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    from fitness.entrypoints.cli import main as command_line

    signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()
