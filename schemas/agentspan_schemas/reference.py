"""The AsyncAPI document for people: docs/topics-reference.md, every topic with its messages, headers and fields.

Apart from `asyncapi`, whose document it only renders: what is not there is not here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

HEAD = """# Topics, one by one

Rendered from [schemas/asyncapi.yaml](../schemas/asyncapi.yaml), which is generated from the code. What can be relied
on, and the rule that says which records of the events count, is in [topics](topics.md).
"""


def page(document: Json, schemas: Mapping[str, Json]) -> str:
    """Markdown. `schemas` by file name, as the document refers to them."""
    lines = [HEAD]
    for name, channel in document["channels"].items():
        lines += _channel(name, channel, document)
    lines.append("## Messages\n")
    for name, message in document["components"]["messages"].items():
        lines += _message(name, message, schemas)
    return "\n".join(lines)


def _channel(name: str, channel: Json, document: Json) -> Iterator[str]:
    yield f"## `{channel['address']}`\n"
    yield f"{channel['description'][:1].upper()}{channel['description'][1:]}.\n"
    settings = channel["bindings"]["kafka"]["topicConfiguration"]
    shown = ", ".join(f"`{key}={_setting(value)}`" for key, value in settings.items())
    yield f"- Settings: {shown}"
    for operation in document["operations"].values():
        if operation["channel"]["$ref"] == f"#/channels/{name}":
            yield f"- Agentspan {operation['action']}s: {operation['summary']}"
    links = ", ".join(f"[{each}](#{_anchor(each)})" for each in channel["messages"])
    yield f"- Messages: {links}\n"


def _message(name: str, message: Json, schemas: Mapping[str, Json]) -> Iterator[str]:
    yield f"### {name}\n"
    key = message.get("bindings", {}).get("kafka", {}).get("key")
    if key is not None:
        yield f"Key: {key['description']}.\n"
    yield "| header | | means |"
    yield "|---|---|---|"
    required = message["headers"].get("required", ())
    for header, schema in message["headers"]["properties"].items():
        yield f"| `{header}` | {'always' if header in required else ''} | {schema['description']} |"
    yield ""
    payload = message["payload"]
    file = payload.get("$ref", "").removeprefix("./")
    yield from _fields(file, schemas[file]) if file else _described(payload)


def _fields(file: str, schema: Json) -> Iterator[str]:
    yield f"Value: [{file}](../schemas/{file})\n"
    yield "| field | | type |"
    yield "|---|---|---|"
    for field, inner in schema["properties"].items():
        yield f"| `{field}` | {'required' if field in schema.get('required', ()) else ''} | {_type(inner)} |"
    yield ""


def _described(payload: Json) -> Iterator[str]:
    fields = ", ".join(f"`{field}`" for field in payload.get("properties", ()))
    yield f"Value: {payload.get('description') or f'an object with {fields}'}.\n"


def _type(schema: Json) -> str:
    """A field's type in a few words; its schema has the rest."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = str(schema.get("type", "any JSON"))
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _setting(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _anchor(heading: str) -> str:
    """As renderers of Markdown make it."""
    return heading.replace(".", "")
