"""JSON bodies read strictly: unknown fields refused, no type coerced, and every problem named at once."""

import dataclasses
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
from litestar import Request
from litestar._openapi.schema_generation import SchemaCreator
from litestar.dto import AbstractDTO, DTOConfig
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.entrypoints.http.kinds import MalformedRequest, UnsupportedMediaType
from fitness.entrypoints.http.wording import taken_by

MAX_BODY_BYTES = 1_000_000
JSON_TYPES = {"application/json", "application/merge-patch+json"}

DECODED_BODY = "fitness.decoded_body"
"""The key of the scope under which the gate keeps a body that it decoded, so that it is not decoded again."""

T = TypeVar("T")

_BYTE = re.compile(r"byte (\d+)")
_decode = msgspec.json.Decoder().decode


class JsonBody(AbstractDTO[T], Generic[T]):
    """A handler's `dto`: reads the body as the dataclass or TypedDict that the handler takes.

    Litestar's own way converts `"1"` to 1 and stops at the first problem.
    """

    config = DTOConfig()

    def decode_bytes(self, value: bytes) -> Any:
        """Raises UnsupportedMediaType, MalformedRequest, InvalidFields."""
        assert isinstance(self.asgi_connection, Request)
        media_type, _ = self.asgi_connection.content_type
        if media_type not in JSON_TYPES and "content-type" in self.asgi_connection.headers:
            raise UnsupportedMediaType(f"this route reads application/json, not {media_type or 'this'}")
        scope: Mapping[str, Any] = self.asgi_connection.scope
        fields = scope[DECODED_BODY] if DECODED_BODY in scope else decode_json(value)
        if not isinstance(fields, dict):
            raise InvalidFields(FieldProblem("body", "must be a JSON object"))
        return model_of(fields, self.model_type, strict=True)

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Litestar prepares a DTO's fields here; this one has none."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Reference | Schema:
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False


def decode_json(body: bytes) -> Any:
    """Raises MalformedRequest."""
    try:
        return _decode(body)
    except UnicodeDecodeError as error:
        raise MalformedRequest("the body is not JSON: it is not UTF-8") from error
    except msgspec.ValidationError as error:
        raise MalformedRequest("the body is not JSON: a number in it is too large") from error
    except msgspec.DecodeError as error:
        at = _BYTE.search(str(error))
        where = f"from byte {at[1]} on it cannot be read" if at else "it is not complete"
        raise MalformedRequest(f"the body is not JSON: {where}") from error
    except RecursionError as error:
        raise MalformedRequest("the body is nested too deeply") from error


def model_of(fields: dict[str, Any], model: type[T], *, strict: bool, found: Sequence[FieldProblem] = ()) -> T:
    """`fields` as a `model`, a dataclass or a TypedDict. Unless `strict`, text is converted to numbers and the like.

    Raises InvalidFields with the problems that the caller `found` and those found here.
    """
    shaped: Any = model
    types, required = _shape(shaped)
    if not found and fields.keys() <= types.keys():
        with suppress(msgspec.ValidationError, OverflowError):  # then each field is looked at alone, to name them all
            return msgspec.convert(fields, model, strict=strict)
    problems = [*found]
    problems += [FieldProblem(name, "is not a field here") for name in fields if name not in types]
    problems += [FieldProblem(name, "is required") for name in sorted(required - fields.keys())]
    values = {}
    for name, value in fields.items():
        if name in types:
            try:
                values[name] = msgspec.convert(value, types[name], strict=strict)
            except (msgspec.ValidationError, OverflowError):
                message = taken_by(types[name], by_text=not strict)
                problems.append(FieldProblem(name.rstrip("_"), message))  # from_ is `from`
    if problems:
        raise InvalidFields(*problems)
    return model(**values)


@cache
def _shape(model: type[Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Each field's type, and which fields must be there."""
    types = get_type_hints(model, include_extras=True)
    if not dataclasses.is_dataclass(model):
        return types, model.__required_keys__
    missing = dataclasses.MISSING
    needed = (
        field.name
        for field in dataclasses.fields(model)
        if field.default is missing and field.default_factory is missing
    )
    return types, frozenset(needed)
