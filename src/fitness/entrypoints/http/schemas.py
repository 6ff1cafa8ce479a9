"""JSON Schemas of the types that cross the wire, from what their fields declare: see domain/model/fields.py."""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, Meta, UnsetType

from fitness.domain.model.fields import Items, Length, Number, Says
from fitness.domain.model.text import TextRule

Schema = dict[str, Any]

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    bytes: {"type": "string", "format": "binary"},
}

COMMON_WORDS: Mapping[str, str] = {
    "id": "Given by the service, once.",
    "user_id": "Whose it is.",
    "activity_id": "Which activity.",
    "created_at": "When it was made.",
    "updated_at": "When it was last changed.",
    "items": "In the order of the list.",
}
"""The descriptions of fields with these names that have no other description."""


class Schemas:
    """Collects the components of a document: a class once, under its name, without `Body` at the end.

    Of the classes in `omitting`, a field that is None is left out.
    """

    def __init__(self, *, omitting: tuple[type[Any], ...] = ()) -> None:
        self.components: dict[str, Schema] = {}
        self.responses: dict[str, Schema] = {}
        """The responses that operations share, by name."""
        self._classes: dict[str, Any] = {}
        self._sent: set[str] = set()
        self._omitting = omitting

    def of(self, hint: Any, *, sent: bool = False) -> Schema:
        """The schema of a type; what it refers to becomes a component. `sent` is what clients send, strictly read.

        Raises TypeError for a type that JSON does not have, and for two classes of one name.
        """
        if get_origin(hint) is Annotated:
            inner, *marks = get_args(hint)
            return _marked(self.of(inner, sent=sent), marks)
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
        if get_origin(hint) in (Union, UnionType):
            return self._any_of([one for one in get_args(hint) if one is not UnsetType], sent)
        if get_origin(hint) is tuple:
            return {"type": "array", "items": self.of(get_args(hint)[0], sent=sent)}
        if get_origin(hint) in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(get_args(hint)[1], sent=sent)}
        return {"$ref": f"#/components/schemas/{self._component(hint, sent)}"}

    def _any_of(self, choices: list[Any], sent: bool) -> Schema:
        schemas = [self.of(one, sent=sent) for one in choices if one is not NoneType]
        if NoneType not in choices:
            return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        if len(schemas) == 1 and isinstance(schemas[0].get("type"), str):
            return schemas[0] | {"type": [schemas[0]["type"], "null"]}
        return {"anyOf": [*schemas, {"type": "null"}]}

    def _component(self, hint: Any, sent: bool) -> str:
        name = _name(hint)
        if name not in self._classes or (sent and name not in self._sent):
            if sent:  # a class that is both sent and answered is described as it has to be sent
                self._sent.add(name)
            self._classes.setdefault(name, hint)
            self.components[name] = {}  # it may refer to itself
            self.components[name] |= self._described(hint, sent)
        if self._classes[name] != hint:
            raise TypeError(f"{hint} and {self._classes[name]} would both be {name} in the document")
        return name

    def _described(self, hint: Any, sent: bool) -> Schema:
        model = get_origin(hint) or hint
        about = {"description": inspect.cleandoc(model.__doc__ or "")}
        if issubclass(model, Enum):
            return {"type": "string", **about, "enum": [member.value for member in model]}
        types = get_type_hints(model, include_extras=True)
        if get_args(hint):
            types = {name: _filled_in(one, hint) for name, one in types.items()}
        words = _words_below(model)
        omitted = model in self._omitting
        properties = {}
        for name, one in types.items():
            choices = [arg for arg in get_args(one) if arg is not NoneType] if omitted else []
            schema = self.of(choices[0] if choices else one, sent=sent)
            said = words.get(name) or COMMON_WORDS.get(name)
            if said and "description" not in schema and "$ref" not in schema:
                schema["description"] = said
            properties[name] = schema
        rules: Schema = {"additionalProperties": False} if sent else {}
        return {"type": "object", **about, "properties": properties, "required": self._required(model, sent), **rules}

    def _required(self, model: Any, sent: bool) -> list[str]:
        """The fields that clients have to send; of an answer, the fields that are never left out."""
        if not dataclasses.is_dataclass(model):
            return sorted(model.__required_keys__)
        missing = dataclasses.MISSING
        stated = [(one.name, one.default, one.default_factory) for one in dataclasses.fields(model)]
        if sent:
            return [name for name, default, make in stated if default is missing and make is missing]
        left_out = (UNSET, None) if model in self._omitting else (UNSET,)
        return [name for name, default, _ in stated if not any(default is one for one in left_out)]


def _name(hint: Any) -> str:
    args = "".join(_name(one) for one in get_args(hint))
    name: str = (get_origin(hint) or hint).__name__
    return args + name.removesuffix("Body")


def _filled_in(hint: Any, generic: Any) -> Any:
    """A field's type, with the type variables of its class replaced by what `generic` has for them."""
    parameters = getattr(hint, "__parameters__", ())
    return hint[get_args(generic)[: len(parameters)]] if parameters else hint


def _marked(schema: Schema, marks: list[Any]) -> Schema:
    for mark in marks:
        about = _mark(mark)
        if "$ref" in schema and about.keys() - {"$ref"}:
            schema = {"allOf": [{"$ref": schema.pop("$ref")}]} | schema
        schema |= about
    return schema


def _mark(mark: Any) -> Schema:
    match mark:
        case Says():
            examples = None if mark.example is None else [mark.example]
            return _stated(description=mark.words, format=mark.format, pattern=mark.pattern, examples=examples)
        case Number():
            low = mark.low + mark.kept_to if mark.above else mark.low
            return {"exclusiveMinimum" if mark.above and not mark.kept_to else "minimum": low, "maximum": mark.high}
        case Length() | TextRule():
            shortest = {"minLength": mark.min_length} if mark.min_length else {}
            return shortest | {"maxLength": mark.max_length}
        case Items():
            return _stated(maxItems=mark.most, minItems=mark.fewest or None)
        case Meta():
            return _stated(
                description=mark.description,
                minimum=mark.ge,
                exclusiveMinimum=mark.gt,
                maximum=mark.le,
                examples=mark.examples,
            )
    return {}


def _stated(**rules: object) -> Schema:
    return {name: value for name, value in rules.items() if value is not None}


@cache
def _words_below(model: type[Any]) -> Mapping[str, str]:
    """The docstrings below the fields of a class and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls.__module__.startswith("fitness."):
            found |= _own_words(cls)
    return found


def _own_words(cls: type[Any]) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for one, below in zip(definition.body, definition.body[1:], strict=False):
        match one, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = inspect.cleandoc(words)
    return found
