"""A port's adapter with its calls timed."""

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

P = TypeVar("P")

Record = Callable[[float, Mapping[str, str]], None]


class _Timed:
    def __init__(self, adapter: object, name: str, record: Record, then: Mapping[str, Callable[[Any], None]]) -> None:
        self._adapter = adapter
        for method_name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
            if not method_name.startswith("_"):
                done = then.get(method_name, lambda _: None)
                setattr(self, method_name, _timed(method, {"query": f"{name}.{method_name}"}, record, done))


def timed(adapter: P, name: str, record: Record, then: Mapping[str, Callable[[Any], None]] | None = None) -> P:
    """`adapter`, with what each call takes recorded as `name.method`; `then` is told what a method returned."""
    return cast(P, _Timed(adapter, name, record, then or {}))


def _timed(method: Any, labels: Mapping[str, str], record: Record, done: Callable[[Any], None]) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        try:
            result = await method(*args, **kwargs)
        finally:
            record(time.perf_counter() - started_s, labels)
        done(result)
        return result

    return call
