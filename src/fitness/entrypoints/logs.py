"""Logs on standard error, as lines for people or as JSON for machines; lines logged in a request carry its id."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, NamedTuple, TextIO

import msgspec
import structlog

ACCESS = "fitness.access"

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request under way."""

FLUSH_S = 0.05
"""How long an access line may wait to be written with others. A killed process loses at most the waiting lines."""


class Response(NamedTuple):
    """The content of an access line."""

    at_s: float
    """When the response ended, in seconds since 1970."""
    method: str
    route: str
    status: int
    duration_s: float
    user_id: int | None
    request_id: str


class AccessLog:
    """One line for each response, written in batches. Through the logging library, a line costs a request more than all
    the rest of a cached answer; so the handler of `configure_logs` renders the lines itself.
    """

    def __init__(self) -> None:
        self._responses: list[Response] = []

    def write(self, response: Response) -> None:
        if not self._responses:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._responses.append(response)

    def flush(self) -> None:
        responses, self._responses = self._responses, []
        for handler in logging.getLogger().handlers:
            if responses and isinstance(handler, _Handler):
                handler.write_access_lines(responses)


def configure_logs(log_format: str, stream: TextIO | None = None) -> None:
    """`log_format` is text or json. Lines of the standard library's loggers look like those of structlog's."""
    shared: list[Any] = [
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    if log_format == "json":
        ending: list[Any] = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    else:
        # A traceback without the values of variables, which may be passwords.
        ending = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
            )
        ]
    handler = _Handler(stream or sys.stderr, _json_line if log_format == "json" else _text_line)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending]
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Handler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, access_line: Callable[[Response, str], str]) -> None:
        super().__init__(stream)
        self._access_line = access_line

    def write_access_lines(self, responses: Iterable[Response]) -> None:
        lines, second, stamp = [], -1, ""
        for response in responses:
            if int(response.at_s) != second:
                second = int(response.at_s)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            at = f"{stamp}.{int((response.at_s - second) * 1_000_000):06d}Z"
            lines.append(self._access_line(response, at))
        self.acquire()  # so that no other line is written in the middle of these
        try:
            self.stream.write("".join(lines))
            self.flush()
        finally:
            self.release()


def _text_line(response: Response, at: str) -> str:
    return (
        f"{at} [info     ] request                        [{ACCESS}] duration_ms={response.duration_s * 1000:.2f} "
        f"method={response.method} request_id={response.request_id} route={response.route} "
        f"status={response.status} user_id={response.user_id}\n"
    )


def _json_line(response: Response, at: str) -> str:
    entry = {
        "request_id": response.request_id,
        "level": "info",
        "logger": ACCESS,
        "method": response.method,
        "route": response.route,
        "status": response.status,
        "duration_ms": round(response.duration_s * 1000, 2),
        "user_id": response.user_id,
        "at": at,
        "message": "request",
    }
    return _json(entry) + "\n"


def _with_request_id(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    request_id = REQUEST_ID.get(None)
    return entry if request_id is None else {"request_id": request_id, **entry}


def _json(entry: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(entry, enc_hook=repr).decode()
