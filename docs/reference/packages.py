"""A package's page: each public name with its signature, its docstring, its fields and its methods.

Fields are documented by the string under them, which exists in the source alone: that is read with `ast`.
"""

import ast
import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from agentspan_schemas.codec import EVENTS
from agentspan_schemas.messages import AssistantMessage, ToolMessage, UserMessage
from docs.reference import docstrings

ONE_LINE = 100
_MEMBER = re.compile(r"\b((?:[a-z_]\w*\.)+)([A-Za-z_]\w*)")
_UNIONS = {
    " | ".join(kind.__name__ for kind in kinds): name
    for name, kinds in (
        ("Event", EVENTS.types.values()),
        ("Message", (UserMessage, AssistantMessage, ToolMessage)),
    )
} | {"AwareDatetime": "datetime"}
"""How annotations that are long when written out are called."""


def page(package: ModuleType) -> str:
    """The whole page: classes, functions, errors, and what else has a name."""
    named = {name: getattr(package, name) for name in package.__all__}
    groups: dict[str, list[str]] = {"Classes": [], "Functions": [], "Errors": [], "Types": []}
    for name, found in sorted(named.items(), key=lambda item: item[0].lower()):
        groups[_group(found)].append(_entry(name, found, package))
    parts = [f"## {title}\n\n" + "\n".join(entries) for title, entries in groups.items() if entries]
    return f"# Reference: {package.__name__}\n\n{_head(package)}\n" + "\n".join(parts)


def _head(package: ModuleType) -> str:
    return (
        f"{docstrings.markdown(package.__doc__ or '')}\n"
        "Made from the docstrings by `make schemas`. How it goes together: [the pages](../README.md).\n"
    )


def _group(found: object) -> str:
    if isinstance(found, type):
        return "Errors" if issubclass(found, BaseException) else "Classes"
    return "Functions" if isinstance(found, FunctionType) else "Types"


def _entry(name: str, found: Any, package: ModuleType) -> str:
    if not isinstance(found, type | FunctionType):
        about = _documented_names(package.__name__).get(name, "")
        return f"### {name}\n\n{_code(f'{name} = {_short(str(found))}')}\n{docstrings.markdown(about)}"
    about = docstrings.markdown(inspect.getdoc(found) or "")
    if isinstance(found, FunctionType):
        return f"### {name}\n\n{_code(_signature(name, found))}\n{about}"
    bases = [base.__name__ for base in found.__bases__ if base.__module__.startswith("agentspan")]
    kind = f"A kind of `{bases[0]}`.\n\n" if _group(found) == "Errors" and bases else ""
    shown = "" if _group(found) == "Errors" or issubclass(found, enum.Enum) else _code(_signature(name, found)) + "\n"
    return f"### {name}\n\n{kind}{shown}{about}" + "".join(_members(name, found))


def _members(owner: str, cls: type) -> Iterator[str]:
    if fields := dict(_fields(cls)):
        yield "\n" + "\n".join(f"- `{line}`{about}" for line, about in fields.items()) + "\n"
    for name, member in _public(cls):
        if isinstance(member, property) or type(member).__name__ == "cached_property":
            yield f"\n#### {owner}.{name}\n\n{docstrings.markdown(inspect.getdoc(member) or '')}"
        elif isinstance(member, FunctionType | classmethod | staticmethod):
            bound = member if isinstance(member, FunctionType) else member.__func__
            about = docstrings.markdown(inspect.getdoc(bound) or "")
            yield f"\n#### {owner}.{name}\n\n{_code(_signature(name, bound))}\n{about}"


def _public(cls: type) -> Iterator[tuple[str, Any]]:
    """Its own and its bases' members, as they were written, the names of ours alone."""
    seen: set[str] = set()
    for each in cls.__mro__:
        if each.__module__.startswith("agentspan"):
            for name, member in vars(each).items():
                if not name.startswith("_") and name not in seen and name != "model_config":
                    seen.add(name)
                    yield name, member


def _fields(cls: type) -> Iterator[tuple[str, str]]:
    told: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.startswith("agentspan"):
            told |= _documented(each)
    if issubclass(cls, enum.Enum):
        for member in cls:
            yield f"{member.name} = {member.value!r}", _after(told.get(member.name))
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if not field.name.startswith("_"):
                yield f"{field.name}: {_annotation(field.type)}", _after(told.get(field.name))
    elif issubclass(cls, BaseException) or hasattr(cls, "model_fields") or hasattr(cls, "_fields"):  # of a named tuple
        for name, annotation in _hints(cls).items():
            yield f"{name}: {_annotation(annotation)}", _after(told.get(name))


def _hints(cls: type) -> Mapping[str, Any]:
    hints: dict[str, Any] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.startswith("agentspan"):
            hints |= inspect.get_annotations(each)
    return {name: hint for name, hint in hints.items() if not name.startswith("_") and name != "model_config"}


def _after(about: str | None) -> str:
    return f": {' '.join(about.split())}" if about else ""


@cache
def _documented(cls: type) -> dict[str, str]:
    """The string under each field of the class, and under each attribute that its methods set."""
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    told: dict[str, str] = {}
    for node in ast.walk(tree):
        told |= _strings_under(getattr(node, "body", []))
    return told


@cache
def _documented_names(package: str) -> dict[str, str]:
    """The string under each name that the package's modules give."""
    told: dict[str, str] = {}
    for path in sorted(Path(sys.modules[package].__path__[0]).glob("*.py")):
        told |= _strings_under(ast.parse(path.read_text(encoding="utf-8")).body)
    return told


def _strings_under(body: Any) -> dict[str, str]:
    told: dict[str, str] = {}
    rows = body if isinstance(body, list) else []
    for before, after in pairwise(rows):
        match before, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name))
                | ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                told[name] = text
    return told


def _signature(name: str, found: Any) -> str:
    try:
        signature = inspect.signature(found)
    except ValueError:
        return name
    parameters = [
        parameter.replace(annotation=_Plain(parameter.annotation), default=_default(parameter))
        if parameter.annotation is not parameter.empty
        else parameter
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls") and not parameter.name.startswith("_")
    ]
    returns = signature.return_annotation
    shown = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    result = "" if returns in (signature.empty, None, "None") else f" -> {_annotation(returns)}"
    begin = "async def " if inspect.iscoroutinefunction(found) else ""
    line = f"{begin}{name}{_short(str(shown))}{result}"
    if len(line) <= ONE_LINE:
        return line
    rows = "".join(f"    {_short(str(part))},\n" for part in _with_stars(parameters))
    return f"{begin}{name}(\n{rows}){result}"


def _with_stars(parameters: list[inspect.Parameter]) -> list[object]:
    """The `*` and `/` that a signature on one line has."""
    rows: list[object] = []
    kinds = [parameter.kind for parameter in parameters]
    for number, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and (
            number == 0 or kinds[number - 1] not in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        ):
            rows.append("*")
        rows.append(parameter)
        if parameter.kind is parameter.POSITIONAL_ONLY and kinds[number + 1 : number + 2] != [parameter.kind]:
            rows.append("/")
    return rows


class _Plain:
    """An annotation that is written as a reader would write it."""

    def __init__(self, annotation: Any) -> None:
        self._text = _annotation(annotation)

    def __repr__(self) -> str:
        return self._text


def _default(parameter: inspect.Parameter) -> Any:
    """A default that prints the same in every process."""
    if parameter.default is parameter.empty or not re.search(r" at 0x|<factory>", repr(parameter.default)):
        return parameter.default
    return _Plain("...")


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _short(text)


def _short(text: str) -> str:
    """Without modules and without pydantic's conditions; an enum's members and long unions by their names."""
    text = re.sub(r"~(\w+)", r"\1", text)
    text = re.sub(r"<(\w+\.\w+): ['\"]\w+['\"]>", r"\1", text)
    while (at := text.find("Annotated[")) >= 0:
        first, end = _inside(text, at + len("Annotated["))
        text = f"{text[:at]}{first}{text[end:]}"
    text = re.sub(r"Optional\[((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1 | None", text)
    text = _MEMBER.sub(lambda found: found[0] if found[1][0].isupper() else found[2], text)
    for union, name in _UNIONS.items():
        text = text.replace(union, name)
    return text if '"' in text else text.replace("'", '"')


def _inside(text: str, at: int) -> tuple[str, int]:
    """What stands before the first comma of the brackets that opened before `at`, and where they have closed."""
    depth, comma = 1, 0
    for end in range(at, len(text)):
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(text[end], 0)
        if depth == 1 and text[end] == "," and not comma:
            comma = end
        if depth == 0:
            return text[at : comma or end], end + 1
    return text[at:], len(text)


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"
