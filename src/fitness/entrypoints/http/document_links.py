"""Links of the API's document: from an answer to the operations that take an id of it."""

from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from litestar.handlers import HTTPRouteHandler

from fitness.domain.model.activities import Activity, ActivityDates, TrashedActivity
from fitness.domain.model.tags import TagCount
from fitness.domain.model.users import Account, User
from fitness.entrypoints.http.api_keys import CreatedKey, KeyBody
from fitness.entrypoints.http.photo_bodies import PhotoBody
from fitness.entrypoints.http.queries import ListBody
from fitness.entrypoints.http.sessions import SessionBody
from fitness.entrypoints.http.tags import TagName

_LINKED: Mapping[Any, tuple[str, str]] = {
    Activity: ("activity_id", "id"),
    TrashedActivity: ("activity_id", "id"),
    ActivityDates: ("activity_id", "id"),
    User: ("user_id", "id"),
    Account: ("user_id", "id"),
    SessionBody: ("session_id", "id"),
    CreatedKey: ("key_id", "id"),
    KeyBody: ("key_id", "id"),
    PhotoBody: ("photo_id", "id"),
    TagName: ("name", "name"),
    TagCount: ("name", "name"),
}
"""An answer of this type, or a list of them, links to the operations with this path parameter, filled by this field."""


def links_of(answered: Any, all_: list[tuple[str, str, HTTPRouteHandler]]) -> dict[str, Any]:
    """Links from an answer, or from the first item of a list, to the operations that take its id or name."""
    item = _item(answered)
    named = _LINKED.get(answered if item is None else item)
    if named is None:
        return {}
    parameter, field = named
    pointer = f"$response.body#/{'' if item is None else 'items/0/'}{field}"
    names = [handler.handler_name for _, path, handler in all_ if f"{{{parameter}}}" in path]
    return {name: {"operationId": name, "parameters": {parameter: pointer}} for name in sorted({*names})}


def _item(answered: Any) -> Any:
    """What a list is a list of; None for any other answer."""
    if get_origin(answered) is ListBody:
        return get_args(answered)[0]
    items = get_type_hints(answered).get("items") if hasattr(answered, "__dataclass_fields__") else None
    return get_args(items)[0] if get_origin(items) is tuple else None
