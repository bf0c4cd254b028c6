"""What a wrong command line meant: a command of another group, or a word that other programs have for one of ours.

Apart from `_main` because it is asked only when a line is wrong. The parser's own guess goes by letters alone.
"""

import re
from collections.abc import Iterator
from typing import Any

WORDS = {
    "message": "send",
    "tell": "send",
    "start": "run",
    "stop": "cancel",
    "kill": "cancel",
    "follow": "stream",
    "watch": "stream",
    "version": "--version",
}
"""What others call a command."""

FORMS = {"--json": "-o json", "--jsonl": "-o jsonl", "--format": "-o"}
"""What others call an option; only where a command takes `-o`."""

_COMMAND = re.compile(r"No such command '([^']*)'")


def meant(error: Any, message: str) -> str:
    """The parser's message, with a better guess than its own where there is one."""
    if (context := getattr(error, "ctx", None)) is None:
        return message
    if (option := getattr(error, "option_name", None)) in FORMS:
        takes_it = any("-o" in parameter.opts for parameter in context.command.params)
        return f"no such option: {option}. Did you mean `{FORMS[option]}`?" if takes_it else message
    if (found := _COMMAND.match(message)) and (guesses := _guesses(found[1], context.command, context.find_root())):
        named = ", ".join(f"`{guess}`" for guess in guesses)
        return f"no such command {found[1]!r}. Did you mean {named}?"
    return message


def _guesses(name: str, group: Any, root: Any) -> list[str]:
    """What has that name elsewhere, or is meant by the word: in the same group before all others."""
    if (word := WORDS.get(name, name)) == "--version":
        return [f"{root.info_name} {word}"]
    named = list(_commands(root.command))
    paths = (
        [path for path, command, parent in named if parent is group and command == word]
        or [path for path, command, _ in named if command == name]
        or [path for path, command, _ in named if command == word]
    )
    return [f"{root.info_name} {path}" for path in paths]


def _commands(root: Any) -> Iterator[tuple[str, str, Any]]:
    """Every command as `(path, name, group that it is in)`, in the order of the help."""
    for name in root.list_commands(None):
        yield name, name, root
        for below in getattr(root.commands[name], "commands", {}):
            yield f"{name} {below}", below, root.commands[name]
