"""How the command line words what was got wrong, whatever it was: the thing, why, and what next."""

import json

Misuse = tuple[str, str, int, str]
"""Command line, standard input, exit code, standard error; `env:NAME=VALUE` before a line is in its environment."""


def told(error: str, then: str | None = None) -> str:
    """What stands on standard error."""
    return f"error: {error}\n" + (f"next:  {then}\n" if then else "")


def helped(command: str, error: str) -> str:
    """The same, with the help of the command as what is next."""
    path = f"agentspan {command}".strip()
    return told(error, f"`{path} --help` shows what it takes")


def for_scripts(command: str, error: str) -> str:
    """The same where the line asks for JSON."""
    then = f"`agentspan {command} --help` shows what it takes"
    return json.dumps({"code": "usage", "detail": error, "next": then, "exit_code": 2}) + "\n"
