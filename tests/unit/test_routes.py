"""Every route declares who may call it, what it does to limits, and all that its handler can refuse."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import pytest
from litestar import Litestar, get
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from fitness.adapters.memory.clock import ManualClock
from fitness.adapters.memory.credentials import InMemoryAccessTokens, InMemoryDeviceTokens
from fitness.domain.model.file_refusals import RecordingEmpty, RecordingRefused
from fitness.domain.model.rate_limits import Action
from fitness.domain.model.refusals import Refusal
from fitness.domain.use_cases.administration import AdminService
from fitness.domain.use_cases.api_keys import ApiKeyService
from fitness.domain.use_cases.limiting import LimitService
from fitness.domain.use_cases.logins import LoginAttempts
from fitness.entrypoints.http import kinds
from fitness.entrypoints.http.app import HANDLERS
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.gate import Gate
from fitness.entrypoints.http.kinds import RangeNotSatisfiable
from fitness.entrypoints.http.rate_limits import ViolationLog, limit_headers
from fitness.entrypoints.http.routes import (
    Access,
    Route,
    UndeclaredRoute,
    check_declarations,
    members,
    operations,
    refusals_of,
)
from fitness.ports.outages import Outage

_INJECTED = type(get_args(NamedDependency[object])[1])
_RAISES = re.compile(r"\bRaises\b(.*?)(?:\.(?:\s|$)|$)", re.DOTALL)
_CLASS = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")


SERVICES = (
    *("accounts", "sessions", "keys", "activities", "imports", "limits", "administration", "stores", "kitchen"),
    *(
        "charging",
        "statistics",
        "tags",
        "tag_turns",
        "upload_space",
        "changes",
        "feed",
        "live_access",
        "originals",
        "photos",
        "exports",
    ),
)


@cache
def _without_engines(*more: HTTPRouteHandler) -> Litestar:
    return Litestar(
        route_handlers=[*HANDLERS, *more],
        dependencies={name: Provide(lambda: None, sync_to_thread=False) for name in SERVICES},
        openapi_config=None,
        logging_config=None,
    )


def _own_operations(*more: HTTPRouteHandler) -> list[HTTPRouteHandler]:
    handlers = [handler for _, _, handler in operations(_without_engines(*more))]
    return [handler for handler in handlers if not handler.fn.__module__.startswith("litestar.")]


def _below(cls: type[Exception]) -> Iterator[type[Exception]]:
    for below in cls.__subclasses__():
        yield below
        yield from _below(below)


ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        *_below(Refusal),
        *_below(Outage),
        kinds.MalformedRequest,
        kinds.UnsupportedMediaType,
        kinds.AddressNotAllowed,
        RangeNotSatisfiable,
    )
}


def _raised_by(function: Callable[..., Any]) -> set[type[Exception]]:
    """The classes in the docstring's "Raises …" sentence, families as their members."""
    said = _RAISES.search(inspect.getdoc(function) or "")
    named = _CLASS.findall(said[1]) if said else []
    for name in named:
        assert name in ERRORS, f"{function.__qualname__} raises {name}, which is no refusal and no outage"
    return {member for name in named for member in members(ERRORS[name])}


def _services(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that Litestar injects, each with its class."""
    hints = get_type_hints(function, include_extras=True)
    return {
        name: get_args(hint)[0]
        for name, hint in hints.items()
        if get_origin(hint) is Annotated and any(isinstance(mark, _INJECTED) for mark in hint.__metadata__)
    }


def _called_by(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The methods of services, and the functions of its module, that a handler calls."""
    services = _services(function)
    used = set()
    for node in _nodes(function):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name in services:
                used.add(name)
                yield getattr(services[name], method)
            case ast.Call(func=ast.Name(id=name)) if inspect.isfunction(inspect.unwrap(_global(function, name))):
                yield _global(function, name)
    assert used == services.keys(), f"{function.__name__} does not itself call {services.keys() - used}"


@cache
def _nodes(function: Callable[..., Any]) -> list[ast.AST]:
    return list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))


def _global(function: Callable[..., Any], name: str) -> Any:
    return inspect.unwrap(function).__globals__.get(name)


def _undeclared(handler: HTTPRouteHandler) -> set[str]:
    raised = {error for called in _called_by(handler.fn) for error in _raised_by(called)}
    return {error.__name__ for error in raised - refusals_of(handler)}


def test_every_route_declares_access_and_action():
    check_declarations(_without_engines())


@pytest.mark.parametrize("handler", _own_operations(), ids=lambda handler: handler.handler_name)
def test_a_route_declares_all_that_its_handler_raises(handler: HTTPRouteHandler):
    assert _undeclared(handler) == set()


def test_the_check_sees_what_services_raise():
    raised = {
        error
        for handler in _own_operations()
        for called in _called_by(handler.fn)
        for error in _raised_by(called)
        if "." in called.__qualname__  # a method: what the module's functions raise does not count here
    }
    assert {error.__name__ for error in raised} >= {
        "EmailTaken",
        "BadCredentials",
        "VersionMismatch",
        "ActivityInTrash",
        "RecordingWithoutTimes",
        "ReaderUnavailable",
        "PictureTooManyPixels",
        "ObjectsUnavailable",
        "AdminOnly",
        "LimiterUnavailable",
    }


@get("/forgotten")
async def forgotten() -> None: ...


def test_a_route_without_a_declaration_keeps_the_application_from_starting():
    with pytest.raises(UndeclaredRoute, match="forgotten"):
        check_declarations(_without_engines(forgotten))


async def test_a_route_without_a_declaration_passes_no_gate():
    async def handler(*_: object) -> None:
        pytest.fail("the gate let it pass")

    tokens, devices = InMemoryAccessTokens(ManualClock()), InMemoryDeviceTokens(ManualClock())
    limits, attempts = cast(LimitService, None), cast(LoginAttempts, None)
    charging = Charging(limits, attempts, (), limit_headers, ViolationLog().record)
    gate = Gate(handler, tokens, devices, charging, cast(AdminService, None), cast(ApiKeyService, None))
    with pytest.raises(UndeclaredRoute):
        await gate(cast(Scope, {"route_handler": forgotten}), cast(Receive, None), cast(Send, None))


def test_a_family_stands_for_its_members_and_a_class_for_itself():
    assert RecordingEmpty in members(RecordingRefused)
    assert RecordingRefused not in members(RecordingRefused)
    assert set(members(RecordingEmpty)) == {RecordingEmpty}


def test_what_the_gate_refuses_is_declared_by_a_routes_shape():
    of = {handler.handler_name: {error.__name__ for error in refusals_of(handler)} for handler in _own_operations()}
    assert of["login"] >= {"LoginDelayed", "RateLimited"}
    assert of["purge_activity"] >= {"AdminOnly", "NotAuthenticated"}
    assert "AdminOnly" not in of["create_activity"]


class Kitchen:
    async def cook(self) -> None:
        """Dinner. Raises a RecordingRefused, and AdminOnly where the cook is out."""


@get(
    "/dinner",
    opt=Route(access=Access.PUBLIC, action=Action.OTHER, refuses=(RecordingRefused,), needs_database=False).opt,
)
async def dinner(kitchen: NamedDependency[Kitchen]) -> None:
    await kitchen.cook()


def test_the_check_reads_families_and_several_lines():
    assert {error.__name__ for error in _raised_by(Kitchen.cook)} == {
        "AdminOnly",
        *(member.__name__ for member in members(RecordingRefused)),
    }


def test_a_route_that_declares_too_little_is_found():
    [handler] = [handler for handler in _own_operations(dinner) if handler.handler_name == "dinner"]
    assert _undeclared(handler) == {"AdminOnly"}
