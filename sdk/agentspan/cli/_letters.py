"""How dead letters look: in a table, whole, and as JSON.

Apart from the options because it takes the packages of a server. What other teams sent may be anything: it is shown as
text where it is UTF-8, escaped where a terminal would obey it, and in base64 otherwise.
"""

import base64
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentspan.cli._options import Format
from agentspan.cli._show import counted, moment, one, out, printable, say, several, table

if TYPE_CHECKING:
    from agentspan_standalone.dlq import Done, Letter

LONGEST_KEY = 40


def show_list(letters: "Sequence[Letter]", output: Format, *, handled: bool) -> None:
    """Those that were found, and how many."""
    _rows(letters, output, handled=handled)
    say(counted(len(letters), "dead letter") if letters else "no dead letters")


def show_done(done: "Done", verb: str, output: Format) -> None:
    """What was done with which."""
    _rows(done.letters, output, handled=False)
    say(f"{verb}: {len(done.letters)}")


def undone(done: "Done") -> list[str]:
    """What was not, and why."""
    left = [f"not replayed: {letter.id}, {_why_left(letter)}" for letter in done.left]
    return [*left, done.stopped] if done.stopped else left


def code(done: "Done") -> str:
    """Of the refusal that tells what was not."""
    if done.stopped:
        return "stopped"
    return "nothing_kept" if any(letter.omitted is not None for letter in done.left) else "stands_on_the_log"


def _why_left(letter: "Letter") -> str:
    if letter.omitted is None:
        return "an event, which stands on the log: `agentspan query rebuild` reads it from there"
    return f"of which nothing was kept ({letter.omitted}): `agentspan dlq show {letter.id}` tells where it stands"


def show(letter: "Letter", output: Format) -> None:
    """One, whole."""
    if output is not Format.TABLE:
        return one(_facts(letter) | _contents(letter), output)
    from agentspan_schemas.dead_letters import what_to_do

    lines = {
        "id": str(letter.id),
        "put aside": f"{moment(letter.why.at)} by {letter.why.service}",
        "why": f"{letter.why.error}: {letter.why.message}",
        "next": what_to_do(letter.why.error),
        "came from": f"{letter.why.topic}, partition {letter.why.partition}, offset {letter.why.offset}",
        "handled": _handled(letter) or "no",
        "key": "(none)" if letter.key is None else _text(letter.key),
        **{f"header {name}": _text(raw) for name, raw in letter.headers},
        "value": f"{letter.size} bytes" if letter.omitted is None else f"(not kept: {letter.omitted})",
    }
    width = max(map(len, lines))
    for name, text in lines.items():
        out(f"{printable(name).ljust(width)}  {printable(text)}")
    if letter.value:
        out("")
        out(printable(_text(letter.value), lines=True))


def write_raw(letter: "Letter") -> None:
    """The value alone, byte for byte."""
    sys.stdout.buffer.write(letter.value)
    sys.stdout.buffer.flush()


def _rows(letters: "Sequence[Letter]", output: Format, *, handled: bool) -> None:
    if output is not Format.TABLE:
        several([_facts(letter) for letter in letters], output)
    elif letters:
        titles = ["ID", "AT", "WHY", "FROM", "KEY", "SIZE"] + (["HANDLED"] if handled else [])
        table(titles, [_row(letter)[: len(titles)] for letter in letters])


def _row(letter: "Letter") -> list[str]:
    key = "" if letter.key is None else _text(letter.key)
    short = key if len(key) <= LONGEST_KEY else key[: LONGEST_KEY - 1] + "…"
    source = f"{letter.why.partition}:{letter.why.offset}"
    at = moment(letter.why.at)
    return [str(letter.id), at, letter.why.error, source, short, str(letter.size), _handled(letter)]


def _facts(letter: "Letter") -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "topic": letter.id.topic,
        "partition": letter.id.partition,
        "offset": letter.id.offset,
        "at": letter.why.at.isoformat(),
        "why": letter.why.error,
        "message": letter.why.message,
        "service": letter.why.service,
        "source": {
            "topic": letter.why.topic,
            "partition": letter.why.partition,
            "offset": letter.why.offset,
        },
        "key": None if letter.key is None else _either(letter.key),
        "size": letter.size,
        "omitted": letter.omitted,
        "handled": None if letter.handled is None else letter.handled.model_dump(mode="json"),
    }


def _contents(letter: "Letter") -> dict[str, Any]:
    from agentspan_schemas.dead_letters import what_to_do

    return {
        "next": what_to_do(letter.why.error),
        "headers": [{"name": name, **_either(raw)} for name, raw in letter.headers],
        "value": _either(letter.value),
    }


def _either(raw: bytes) -> dict[str, str]:
    """`text` where it is any, `base64` otherwise."""
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _text(raw: bytes) -> str:
    [(form, text)] = _either(raw).items()
    return text if form == "text" else f"base64:{text}"


def _handled(letter: "Letter") -> str:
    note = letter.handled
    if note is None:
        return ""
    return f"{note.action} by {note.by} at {moment(note.at)}" + (f": {note.reason}" if note.reason else "")
