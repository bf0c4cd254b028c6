"""How a page writes times, durations, numbers and values. Pure; templates use these as filters."""

import json
import re
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

JSON_CHARS = 20_000
"""How much JSON a page shows of one event; the whole is one link away."""

LONG_CHARS = 2_000
LONG_LINES = 30
"""Beyond either, a text stands in a box that scrolls, so that what follows it can be reached."""

_PICTURE = "\u2194\u2195\u2600-\u27bf\u2b1b\ufe0f\U0001f000-\U0001faff"
_JOINING = "\u0626\u0628\u062a-\u062e\u0633-\u063a\u0641-\u0647\u064a\u067e\u0686\u06a9\u06af\u06cc"
"""Arabic and Persian letters that change their form before a break: it shows."""

_INVISIBLE = re.compile(
    rf"(?<=[{_PICTURE}])\u200d(?=[{_PICTURE}])|(?<=[{_JOINING}])\u200c(?=[\u0620-\u06d3])"
    "|(?<=[^\x00-\xa8\\w\\s])[\ufe0e\ufe0f]|\ufe0f(?=\u20e3)"
    "|([\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff])"
)
"""Characters that show nothing, or turn the text around them: they could make args look like others. The first are
what joins pictures into one, what parts letters, and how a sign or a key is drawn."""


def duration(span: timedelta) -> str:
    """In the two largest units that say something: `350 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _two(minutes, "min", rest, "s")
    hours, minutes = divmod(minutes, 60)
    return _two(hours, "h", minutes, "min") if hours < 24 else _two(hours // 24, "d", hours % 24, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in one unit; after a month, the date."""
    seconds = int((now - moment).total_seconds())
    for below, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if seconds < below:
            return f"{seconds // unit_s} {unit} ago" if seconds >= 1 else "just now"
    return f"{moment:%-d %b %Y}"


def absolute(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def exact(moment: datetime) -> str:
    """As machines read it, to the microsecond."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock(moment: datetime, beside: datetime) -> str:
    """The time of day, with the day where it is another than that of `beside`."""
    moment, beside = moment.astimezone(UTC), beside.astimezone(UTC)
    return f"{moment:%H:%M:%S}" if moment.date() == beside.date() else f"{moment:%-d %b %H:%M:%S}"


def count(number: int) -> str:
    """With separators."""
    return f"{number:,}"


def kind(value: JsonValue) -> str:
    """What a JSON value is, for people: `"99"` and `99` look alike in a table."""
    match value:
        case None:
            return "null"
        case bool():
            return "true/false"
        case int() | float():
            return "number"
        case "":
            return "empty text"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"


def plain(value: JsonValue) -> str:
    """A value to read, whole: text as it is, the rest as JSON."""
    return visible(value) if isinstance(value, str) else written(value)


def long(text: str) -> bool:
    """Whether it is too much to read past."""
    return len(text) > LONG_CHARS or text.count("\n") >= LONG_LINES


def short(value: JsonValue, chars: int = 110) -> str:
    """A value on one line."""
    return line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), chars)


def written(value: JsonValue) -> str:
    """Indented JSON, whole: read again, it is the same value."""
    return visible(json.dumps(value, indent=2, ensure_ascii=False))


def pretty(value: JsonValue) -> str:
    """Indented JSON, cut where it is very long."""
    text = written(value)
    return text if len(text) <= JSON_CHARS else f"{text[:JSON_CHARS]}\n… {len(text) - JSON_CHARS:,} more characters"


def visible(text: str) -> str:
    """The text with characters that show nothing written out, as `\\u202e`."""
    return _INVISIBLE.sub(lambda found: json.dumps(found[0]).strip('"') if found[1] else found[0], text)


def line(text: str, chars: int = 160) -> str:
    """One line of at most so many characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= chars else flat[: chars - 1] + "…"
