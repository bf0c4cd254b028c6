"""Where the server asks what a scripted model says: a small HTTP server of the test's process, on loopback.

Apart from the models because it lives as long as the server that was told its address, and they as long as a test.
"""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from agentspan.agents.testing._scripted_model import ScriptedModel


class ModelHub:
    """Answers for every model that was added, until closed."""

    def __init__(self) -> None:
        self._models: dict[str, ScriptedModel] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._models))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_the_block: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """What the server is told."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def names(self) -> tuple[str, ...]:
        """The models that were added."""
        return tuple(self._models)

    def add(self, model: ScriptedModel) -> ScriptedModel:
        """Answer for this model; one of the same name gives way."""
        self._models[model.name] = model
        return model

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(models: Mapping[str, ScriptedModel]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request: what does this model say now?"""

        def do_POST(self) -> None:
            """The model's reply, or why there is none."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(_answer(models, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Tests' output is the tests'."""

    return Handler


def _answer(models: Mapping[str, ScriptedModel], body: dict[str, Any]) -> dict[str, Any]:
    model = models.get(body["model"])
    if model is None:
        known = ", ".join(models) or "none"
        return _error("script_missing", f"no test scripts model {body['model']!r} now; scripted are: {known}")
    try:
        return model.reply(body)
    except Exception as error:  # a function of the test's author: what it raises is the model's failure
        return _error("script_failed", f"the script of model {model.name!r} raised {type(error).__name__}: {error}")


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}, "retryable": False}
