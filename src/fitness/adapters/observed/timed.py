"""A port's adapter with its calls timed."""

import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

P = TypeVar("P")

Record = Callable[[float, str], None]
"""Takes the seconds and the name of the call."""

Span = Callable[[str], AbstractContextManager[object]]


def timed(
    adapter: P,
    name: str,
    record: Record,
    span: Span = nullcontext,
    then: Mapping[str, Callable[[Any], None]] | None = None,
) -> P:
    """A stand-in for `adapter` whose public coroutine methods record their duration as `name.method`, within a span.

    `then` maps a method's name to a function that is called with its result. Raises ValueError if `adapter` lacks it.
    """
    # One wrapper for every repository, instead of a class for each: the methods come from the adapter, so a new one is
    # timed without anybody thinking of it. mypy cannot follow that; the cast says what holds by construction.
    then = then or {}
    methods = {
        method_name: method
        for method_name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction)
        if not method_name.startswith("_")
    }
    # Without this, a misspelt name would leave a metric at 0 for ever, with no error anywhere.
    if unknown := then.keys() - methods.keys():
        raise ValueError(f"{type(adapter).__name__} has no coroutine method {', '.join(sorted(unknown))}")
    return cast(P, _Timed(methods, name, record, span, then))


class _Timed:
    """Its methods are set for each adapter, since they are the adapter's own."""

    def __init__(
        self,
        methods: Mapping[str, Callable[..., Any]],
        name: str,
        record: Record,
        span: Span,
        then: Mapping[str, Callable[[Any], None]],
    ) -> None:
        for method_name, method in methods.items():
            done = then.get(method_name, lambda _: None)
            setattr(self, method_name, _timed(method, f"{name}.{method_name}", record, span, done))


def _timed(
    method: Callable[..., Any], name: str, record: Record, span: Span, done: Callable[[Any], None]
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        try:
            with span(name):
                result = await method(*args, **kwargs)
        finally:  # a failed query took time as well; only the result of a successful one is passed to `done`
            record(time.perf_counter() - started_s, name)
        done(result)
        return result

    return call
