"""A function's signature as JSON Schema, and a call's JSON arguments as what the function's annotations promise.

Apart from the decorator because this is where pydantic is asked: one model per tool, with the parameters' own names
as aliases, so that a parameter may be called `schema` or `_id`.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema

from agentspan.agents._context import ToolContext
from agentspan.agents._docstring import split_docstring
from agentspan.agents._errors import ConfigurationError
from agentspan_schemas import JsonSchema


class PlainSchema(GenerateJsonSchema):
    """JSON Schema without the titles that pydantic makes up; a default that has no JSON form is left out."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title that repeats the name says nothing."""
        return False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tool's function takes: its schema for the model, and the way from JSON to its parameters."""

    description: str
    input_schema: JsonSchema
    model: type[BaseModel]
    names: Mapping[str, str]
    """Field of `model` to parameter."""
    positional: tuple[str, ...]
    """Parameters that can only be given by position."""
    context: str | None
    """The parameter that gets the ToolContext."""

    def bind(self, args: Mapping[str, Any], context: ToolContext) -> tuple[list[Any], dict[str, Any]]:
        """The positional and keyword arguments of the call. Raises pydantic's ValidationError when they don't fit."""
        valid = self.model.model_validate(dict(args))
        given = {self.names[name]: getattr(valid, name) for name in self.names}
        if self.context is not None:
            given[self.context] = context
        return [given.pop(name) for name in self.positional], given


def read_signature(function: Callable[..., Any], tool: str) -> Signature:
    """The signature of a tool's function. Raises ConfigurationError when a parameter can't be described."""
    hints = _hints(function, tool)
    description, documented = split_docstring(inspect.getdoc(function) or "")
    parameters = list(inspect.signature(function).parameters.values())
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    context = None
    for index, parameter in enumerate(parameters):
        annotation = hints.get(parameter.name, Any)
        if _is_context(annotation):
            context = parameter.name
            continue
        _refuse_variadic(parameter, tool)
        _refuse_unbound(parameter, index, function, tool)
        field = f"parameter_{index}"
        names[field] = parameter.name
        fields[field] = _field(parameter, annotation, documented.get(parameter.name))
    model, schema = _model(tool, fields)
    positional = tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY)
    return Signature(description, schema, model, names, positional, context)


def _hints(function: Callable[..., Any], tool: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"tool {tool!r}: an annotation names {error.name!r}, which is not defined in its module"
        ) from error
    except TypeError as error:  # an object with __call__, a functools.partial
        raise ConfigurationError(
            f"tool {tool!r}: {function!r} is no function, and has no annotations; wrap it in one that has"
        ) from error


def _field(parameter: inspect.Parameter, annotation: Any, description: str | None) -> Any:
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    if description and not _describes_itself(annotation):
        return (annotation, Field(default, alias=parameter.name, description=description))
    return (annotation, Field(default, alias=parameter.name))


def _describes_itself(annotation: Any) -> bool:
    described = (getattr(extra, "description", None) for extra in getattr(annotation, "__metadata__", ()))
    return typing.get_origin(annotation) is Annotated and any(described)


def _model(tool: str, fields: dict[str, Any]) -> tuple[type[BaseModel], JsonSchema]:
    try:
        model: type[BaseModel] = create_model(
            tool, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )
        schema = model.model_json_schema(schema_generator=PlainSchema)
    except Exception as error:
        raise ConfigurationError(
            f"tool {tool!r}: a parameter has no JSON Schema: {_indescribable(fields)}; annotate it with what JSON can"
            " hold: numbers, text, lists, dicts, an enum, a dataclass, a TypedDict or a pydantic model"
        ) from error
    schema.pop("title", None)
    return model, schema


def _indescribable(fields: Mapping[str, Any]) -> str:
    """Those that have none by themselves, as they stand in the signature."""
    found = []
    for annotation, field in fields.values():
        try:
            TypeAdapter(annotation).json_schema(schema_generator=PlainSchema)
        except Exception:  # whatever pydantic says of it: the first error is the one that is told
            found.append(f"{field.alias}: {inspect.formatannotation(annotation)}")
    return ", ".join(found) or "its default"


def _is_context(annotation: Any) -> bool:
    return annotation is ToolContext or ToolContext in typing.get_args(annotation)


def _refuse_variadic(parameter: inspect.Parameter, tool: str) -> None:
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise ConfigurationError(
            f"tool {tool!r}: {str(parameter)!r} can't be described to a model; name each parameter"
        )


def _refuse_unbound(parameter: inspect.Parameter, index: int, function: Callable[..., Any], tool: str) -> None:
    """A method that was decorated in its class: the model would be asked for the instance."""
    is_method = "." in getattr(function, "__qualname__", "").rpartition("<locals>.")[2]
    if is_method and index == 0 and parameter.name in ("self", "cls"):
        raise ConfigurationError(
            f"tool {tool!r}: {parameter.name!r} would be the model's to give; make a tool of the bound method, as in "
            f"tool(instance.{function.__name__})"
        )
