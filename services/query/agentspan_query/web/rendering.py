"""Templates and the headers of a page: everything is escaped, nothing but the server's own files may run or load."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agentspan_query.web import formats
from agentspan_query.web.summaries import call_text, summary

HERE = Path(__file__).parent

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Pages:
    """Renders a template as a page."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters = (
            "duration",
            "ago",
            "absolute",
            "exact",
            "clock",
            "count",
            "kind",
            "plain",
            "pretty",
            "written",
            "visible",
            "long",
        )
        self._templates.filters |= {name: getattr(formats, name) for name in filters}
        self._templates.globals |= {"summary": summary, "call_text": call_text}

    def page(
        self, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **shown: Any
    ) -> Response:
        """The page; templates have the time as `now`."""
        html = self._templates.get_template(template).render(now=self._now(), **shown)
        return HTMLResponse(html, status, {**_HEADERS, **(headers or {})})


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    media_type: str
    etag: str


class Assets:
    """The files of the pages. A browser keeps them, and asks each time whether they are still the same.

    The tag is the content's hash: files of a wheel may all bear the same time.
    """

    def __init__(self) -> None:
        self._files = {path.name: _asset(path) for path in (HERE / "static").iterdir()}

    async def file(self, request: Request) -> Response:
        """One file, or 304 when the browser has it."""
        asset = self._files.get(request.path_params["name"])
        if asset is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        return Response(asset.content, 200, headers, media_type=asset.media_type)


def _asset(path: Path) -> _Asset:
    content = path.read_bytes()
    return _Asset(content, _MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
