"""Spans for a tracing backend, if OpenTelemetry's environment variables name one; otherwise no spans."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


NO_SPAN = nullcontext()


class Tracing:
    """On if one of ENDPOINTS is set: a separate thread sends spans there over HTTP, in batches."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        if any(os.environ.get(name) for name in ENDPOINTS):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # takes 0.2 s

            self._provider = TracerProvider(
                resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "fitness")}),
                shutdown_on_exit=False,
            )
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self._tracer = self._provider.get_tracer("fitness")

    @property
    def on(self) -> bool:
        return self._tracer is not None

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span of the work within the context, under the span that is open."""
        return NO_SPAN if self._tracer is None else self._tracer.start_as_current_span(name)

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[trace.Span | None]:
        """A span of a whole request, under the caller's span if `headers` have a traceparent."""
        if self._tracer is None:
            return nullcontext()
        return self._tracer.start_as_current_span(name, context=extract(headers), kind=SpanKind.SERVER)

    async def aclose(self) -> None:
        """Send the spans that are left, which may take seconds."""
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)
