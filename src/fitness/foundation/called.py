"""The inside of a killable process: one call after the other, from its standard input to its standard output.

A frame is a pickled value, with the buffers that are sent beside it so that they are not copied.
"""

import gc
import os
import pickle
import resource
import signal
import struct
from collections.abc import Callable
from typing import IO, Any

_SIZE = struct.Struct("<Q")

Frame = list[bytes | memoryview]


def frame(value: object) -> Frame:
    """The pieces to be sent one after the other. A PickleBuffer in `value` is a piece of its own."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    beside = [buffer.raw() for buffer in buffers]
    sizes = [len(pickled), *(buffer.nbytes for buffer in beside)]
    return [_SIZE.pack(len(sizes)) + b"".join(map(_SIZE.pack, sizes)), pickled, *beside]


def received(pipe: IO[bytes]) -> Any:
    """The value of the next frame. Raises EOFError where the other side has closed the pipe."""
    sizes = [_size(pipe) for _ in range(_size(pipe))]
    pickled, *beside = [_exactly(pipe, size) for size in sizes]
    return pickle.loads(pickled, buffers=beside)  # noqa: S301 - from this very program


def _size(pipe: IO[bytes]) -> int:
    (size,) = _SIZE.unpack(_exactly(pipe, _SIZE.size))
    return int(size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return content


OUT_OF_MEMORY = 77
"""The exit status of a process whose call needed more memory than it may have. The process may then be damaged, and may
have too little memory left to say so in a frame.
"""


def main() -> None:
    """Take the function, then call it with each argument, until the pipe is closed."""
    with os.fdopen(os.dup(0), "rb") as arguments, os.fdopen(os.dup(1), "wb") as results:
        os.dup2(2, 1)  # what a library prints must not get among the results
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent
        function, on_start, memory_bytes = received(arguments)
        on_start()
        gc.freeze()  # objects that exist now stay: the collector need not look through them after each call
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        _send(results, True)
        try:
            while True:
                _answer(function, arguments, results)
                # Garbage in cycles would count as memory of the next calls, and a few large objects do not make the
                # collector run by itself.
                gc.collect()
        except EOFError:
            return
        except MemoryError:
            pass  # after this block the memory that the error held is free again
        os._exit(OUT_OF_MEMORY)


def _answer(function: Callable[[Any], object], arguments: IO[bytes], results: IO[bytes]) -> None:
    """A function of its own, so that the argument is freed with its variables before the next argument comes."""
    argument, cpu_s = received(arguments)
    _send(results, _outcome(function, argument, cpu_s))


def _outcome(function: Callable[[Any], object], argument: object, cpu_s: float) -> tuple[bool, object]:
    """Whether the function returned, and what it returned or raised.

    When the call's CPU time is over, the kernel ends the process, even if the call is deep inside a library's own code.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        return True, function(argument)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again where the call came from
        return False, error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _send(pipe: IO[bytes], value: object) -> None:
    for piece in frame(value):
        pipe.write(piece)
    pipe.flush()
