"""JSON Schemas of Kubernetes' own kinds for kubeconform, from the OpenAPI document that a module of helm's ships.

kubeconform would download them; here they come with what `make check-deploy` installs anyway. Strict: a field that the
kind does not have is an error. The ways in which OpenAPI's document is looser or narrower than the API server are put
right here, and nowhere else.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULE = "k8s.io/cli-runtime@v0.37.0"
"""What helm 3.22.0 is built with."""

DOCUMENT = "artifacts/openapi/swagger.json"

LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""kubeconform's name of a kind's file."""

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"

Schema = dict[str, Any]


def document() -> Schema:
    """The OpenAPI document, fetched with Go where it is not there yet."""
    done = subprocess.run(["go", "mod", "download", "-json", MODULE], capture_output=True, text=True, check=True)
    loaded: Schema = json.loads((Path(json.loads(done.stdout)["Dir"]) / DOCUMENT).read_text(encoding="utf-8"))
    return loaded


def write(swagger: Schema, folder: Path) -> None:
    """A file for each kind that can be applied."""
    definitions = {name: _strict(name, schema) for name, schema in swagger["definitions"].items()}
    for name, schema in swagger["definitions"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            parts = (kind["kind"], kind["group"].split(".")[0], kind["version"])
            file = "-".join(filter(None, parts)).lower() + ".json"
            (folder / file).write_text(json.dumps(_closed(name, definitions)), encoding="utf-8")


def _strict(name: str, schema: Schema) -> Schema:
    if name == QUANTITY:
        return {"type": ["string", "number"]}
    if schema.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    if "properties" in schema:
        return schema | {"additionalProperties": False}
    return schema


def _closed(name: str, definitions: Schema) -> Schema:
    """One kind, with all that it refers to."""
    needed, found = {name: definitions[name]}, [name]
    while found:
        for reference in set(_references(definitions[found.pop()])) - needed.keys():
            needed[reference] = definitions[reference]
            found.append(reference)
    return {"$ref": f"#/definitions/{name}", "definitions": needed}


def _references(schema: object) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference.removeprefix("#/definitions/")
        case dict():
            for part in schema.values():
                yield from _references(part)
        case list():
            for part in schema:
                yield from _references(part)
        case _:
            return
