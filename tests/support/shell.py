"""Commands as pages show them: taken apart, and held to what exists, without running them.

`agentspan …` is parsed by the command line itself, `make …` looked up in the Makefile, `python -m …` found, and a
request by curl has to be one that the doors have.
"""

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import typer

from agentspan.cli._main import app
from tests.support.docs import ROOT, Block

OTHERS = {
    ".", "cd", "cat", "cp", "docker", "echo", "export", "git", "grep", "helm", "jq", "kafka-configs.sh", "kcat",
    "mkdir", "mv", "mvn", "pip", "pre-commit", "pytest", "sqlite3", "strace", "time", "true",
}  # fmt: skip
"""Programs that are not ours."""

_KEYWORDS = {"while", "do", "done", "for", "in", "if", "then", "fi"}
_SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")"}
_ASSIGNMENT = re.compile(r"^[A-Z_]+=")


def commands(block: Block) -> Iterator[list[str]]:
    """The simple commands of a block, in words. In a console's, `$ ` begins what is typed; the rest is output."""
    text = block.text
    if block.language == "console":
        typed = re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE)
        text = "\n".join(typed)
    text = re.sub(r"^(\w+)=\$\((.*)\)$", r"\2", text.replace("\\\n", " "), flags=re.MULTILINE)
    for line in text.split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        yield from _simple(list(lexer))


def _simple(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word in _SEPARATORS:
            while command and (command[0] in _KEYWORDS or _ASSIGNMENT.match(command[0])):
                command.pop(0)
            if command:
                yield _without_redirections(command)
            command = []
        else:
            command.append(word)


def _without_redirections(words: list[str]) -> list[str]:
    places = [at for at, word in enumerate(words) if re.fullmatch(r"[<>]+&?", word)]
    numbers = {at - 1 for at in places if words[at - 1].isdigit()}
    return [word for at, word in enumerate(words) if at not in places and at - 1 not in places and at not in numbers]


def check(words: list[str]) -> None:
    """Raise where a command could not work as it is written."""
    program, *rest = words
    match program.rpartition("/")[2]:
        case "agentspan":
            parse(rest)
        case "make":
            for target in rest:
                assert "=" in target or re.search(rf"^{re.escape(target)}:", _makefile(), re.MULTILINE), target
        case "python" | "python3" if rest[:1] == ["-m"]:
            assert find_spec(rest[1]) is not None, f"no module {rest[1]!r}"
        case "curl":
            _request(rest)
        case "read" | "python":
            pass
        case other:
            assert other in OTHERS, f"unknown program {other!r}"


def parse(words: list[str]) -> None:
    """Have the command line read these words. Raises what it would refuse them with."""
    command: Any = typer.main.get_command(app)
    name = "agentspan"
    while hasattr(command, "commands") and words and words[0] != "--help":
        name, *words = words
        assert name in command.commands, f"{name!r} is none of {sorted(command.commands)}"
        command = command.commands[name]
    if "--help" not in words and "..." not in words:
        command.make_context(name, list(words)).close()


def _request(words: list[str]) -> None:
    address = next(word for word in words if word.startswith(("localhost:", "http")))
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    request(method, address)
    if "-d" in words and words[words.index("-d") + 1] != "@-":
        json.loads(words[words.index("-d") + 1])


def request(method: str, address: str) -> None:
    """Raise where no door has this method and path."""
    path = "/" + re.sub(r"^(https?://)?[^/]*/", "", address).partition("?")[0]
    for template, operations in _doors().items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
            return
    raise AssertionError(f"no door has {method} {path}")


@cache
def _doors() -> dict[str, Any]:
    doors: dict[str, Any] = json.loads((ROOT / "schemas" / "openapi.json").read_text())["paths"]
    return doors


@cache
def _makefile() -> str:
    return (ROOT / "Makefile").read_text()
