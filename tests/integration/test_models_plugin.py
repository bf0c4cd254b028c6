"""The provider that docs/models.md shows: installed as a package beside the server, found by its entry point, asked."""

import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from typing import Any

import pytest

from agentspan.agents import Agent, RequestFailed, tool
from agentspan.agents.testing import LocalServer
from tests.support.docs import ROOT, blocks

PAGE = ROOT / "docs" / "models.md"
SHOWN = [block for block in blocks(PAGE) if "test_models_plugin" in block.marks.get("tested", "")]
PACKAGE = {block.language: block.text for block in SHOWN}


class Acme:
    """The service that the page's provider asks: it calls the tool, and says what that returned."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        acme = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = loads(self.rfile.read(int(self.headers["content-length"])))
                acme.asked.append(body)
                raw = dumps(acme.reply(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        last = body["messages"][-1]
        calls = [] if last["role"] == "tool" else [{"id": "c1", "tool": "look_up", "args": {"order": 7}}]
        said = f"Order 7 is {last['value']}." if last["role"] == "tool" else ""
        return {"model": f"{body['model']}-v2", "text": said, "calls": calls, "tokens_in": 5, "tokens_out": 3}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@tool
def look_up(order: int) -> str:
    """Find an order."""
    return f"on its way ({order})"


AGENT = Agent("shop", "acme/large", "Be kind.", tools=[look_up])


@pytest.fixture
def acme() -> Iterator[Acme]:
    acme = Acme()
    yield acme
    acme.close()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's code and its entry point, as an installer lays them out."""
    folder = tmp_path / "site-packages"
    about = folder / "acme_agentspan-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "acme_agentspan.py").write_text(PACKAGE["python"], encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-agentspan\nVersion: 1.0\n", encoding="utf-8")
    points = tomllib.loads(PACKAGE["toml"])["project"]["entry-points"]["agentspan.models"]
    lines = [f"{name} = {target}" for name, target in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[agentspan.models]", *lines]) + "\n", encoding="utf-8")
    return folder


def test_the_pages_provider_is_found_and_asked(acme: Acme, package: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(package), "ACME_URL": acme.url}
    with LocalServer(tmp_path / "server", environment=environment) as server, server.runtime() as runtime:
        result = runtime.run(AGENT, "Where is order 7?")
    assert result.output == "Order 7 is on its way (7)."
    assert (result.usage.input_tokens, result.usage.output_tokens) == (10, 6)
    first, second = acme.asked
    assert (first["model"], first["instructions"], first["tools"][0]["name"]) == ("large", "Be kind.", "look_up")
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]


def test_what_the_pages_provider_lacks_is_told_at_the_start(package: Path, tmp_path: Path) -> None:
    missing = "model 'acme/large' needs ACME_URL on the server"
    with LocalServer(tmp_path / "server", environment={"PYTHONPATH": str(package)}) as server:
        runtime = server.runtime()
        with runtime, pytest.raises(RequestFailed, match=missing):
            runtime.start(AGENT, "Where is order 7?")
