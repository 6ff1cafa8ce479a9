"""The program `fitness`. While its command line is loaded, for half a second, Ctrl-C ends it silently."""

import signal


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # `make run` starts this with SIGINT blocked, since Python answers a SIGINT during its own start with a traceback.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    from fitness.entrypoints.cli import main as command_line

    signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()
