"""Logs on standard error, as lines for people or as JSON for machines; what happens in a request carries its id."""

import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog

ACCESS = "fitness.access"


def configure_logs(log_format: str, stream: TextIO | None = None) -> None:
    """`log_format` is text or json. Lines of the standard library's loggers look like those of structlog's."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
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
        # A traceback without the values in it, among which there may be passwords.
        ending = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
            )
        ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending]
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _json(entry: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(entry, enc_hook=repr).decode()
