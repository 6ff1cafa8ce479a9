"""A port's adapter with its calls timed."""

import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

P = TypeVar("P")

Record = Callable[[float, Mapping[str, str]], None]
Span = Callable[[str], AbstractContextManager[object]]


class _Timed:
    def __init__(
        self, adapter: object, name: str, record: Record, span: Span, then: Mapping[str, Callable[[Any], None]]
    ) -> None:
        self._adapter = adapter
        for method_name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
            if not method_name.startswith("_"):
                done = then.get(method_name, lambda _: None)
                setattr(self, method_name, _timed(method, f"{name}.{method_name}", record, span, done))


def timed(
    adapter: P,
    name: str,
    record: Record,
    span: Span = nullcontext,
    then: Mapping[str, Callable[[Any], None]] | None = None,
) -> P:
    """`adapter`, with each call recorded and spanned as `name.method`; `then` is told what a method returned."""
    return cast(P, _Timed(adapter, name, record, span, then or {}))


def _timed(method: Any, name: str, record: Record, span: Span, done: Callable[[Any], None]) -> Any:
    labels = {"query": name}

    async def call(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        try:
            with span(name):
                result = await method(*args, **kwargs)
        finally:
            record(time.perf_counter() - started_s, labels)
        done(result)
        return result

    return call
