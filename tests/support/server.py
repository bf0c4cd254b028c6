"""A server as a real process on a data folder and a port of its own, and its public HTTP for tests to speak.

Apart from the tests because each kind of them needs the same three things: to start it and wait until it takes work,
to kill it as a crash does, and to follow an execution until something has happened to it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.eventually import eventually

ENDS_WITHIN_S = 60.0
EVENT_WITHIN_S = 120.0
COMMAND_WITHIN_S = 120.0
"""Each far above what it takes, as with `eventually`."""

TERMINAL = ("done", "failed", "cancelled")

Json = dict[str, Any]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def turn(text: str = "", *calls: tuple[str, Json]) -> Json:
    """One recorded turn of a model: its text and the calls that it asks for."""
    return {"text": text, "tool_calls": [{"tool": name, "args": args} for name, args in calls]}


class Server:
    """`with Server(folder) as server:` starts it; `kill` is SIGKILL; `start` again serves the same folder.

    Its model is `replay/shop`: `record` says what it replies. `http` speaks to it at `/api/v1`.
    """

    def __init__(self, folder: Path, *, lease_s: float = 10.0, environment: Mapping[str, str] | None = None) -> None:
        self.data = folder / "data"
        self.recordings = folder / "recordings" / "shop"
        self.recordings.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.log = folder / "server.log"
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=30)
        self.environment = {
            **clean_environment(),
            "AGENTSPAN_REPLAY_DIR": str(folder / "recordings"),
            "AGENTSPAN_LEASE_S": str(lease_s),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()
        if self._process is not None:
            self.kill()
        if error is not None:
            print(self.log.read_text()[-5000:])

    @property
    def pid(self) -> int:
        """The process that serves now."""
        assert self._process is not None
        return self._process.pid

    @property
    def command(self) -> list[str]:
        """What starts it."""
        flags = ["--data", str(self.data), "--port", str(self.port)]
        return [sys.executable, "-m", "agentspan_standalone", "start", *flags]

    def start(self) -> None:
        """Start it, and return when it takes work."""
        self.spawn()
        eventually(self._takes_work, f"the server takes work; see {self.log}")

    def spawn(self) -> None:
        """Start it, whether it will take work or not."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(ENDS_WITHIN_S)
        self._process = None

    def restart(self) -> None:
        """Kill it, and start it on the same folder and port."""
        self.kill()
        self.start()

    def record(self, name: str, *turns: Json) -> None:
        """What the model replies in an execution with the metadata `recording: name`."""
        (self.recordings / f"{name}.json").write_text(json.dumps({"turns": turns}))

    # What is asked of it

    def get(self, path: str, **params: Any) -> Json:
        """The answer to a read that succeeds, asked for again while the server says that it can't be given yet."""
        answers: list[httpx.Response] = []

        def there() -> bool:
            answers.append(self.http.get(path, params=params))
            return answers[-1].status_code != 503

        eventually(there, f"{path} can be read")
        return _ok(answers[-1])

    def post(self, path: str, body: object, **headers: str) -> Json:
        """The answer to a write that succeeds."""
        return _ok(self.http.post(path, json=body, headers=_header_names(headers)))

    def begin(self, recording: str, *, agent: str = "shop", **metadata: object) -> str:
        """Start an execution of a registered agent; its id."""
        body = {"agent": agent, "prompt": "a ticket", "metadata": {"recording": recording, **metadata}}
        return str(self.post("/executions", body)["execution_id"])

    def events(self, execution_id: str) -> list[Json]:
        """All events until now, from the log."""
        items: list[Json] = self.get(f"/executions/{execution_id}/events", limit=5000)["items"]
        return items

    def types(self, execution_id: str) -> list[str]:
        """The types of all events until now."""
        return [event["type"] for event in self.events(execution_id)]

    @contextmanager
    def following(self, execution_id: str, after: int = 0) -> Iterator[Iterator[Json]]:
        """Its stream over one connection: the events as they come."""
        path = f"/executions/{execution_id}/stream"
        self.get(f"/executions/{execution_id}")
        with self.http.stream("GET", path, params={"after": after}) as response:
            assert response.status_code == 200, response.read()
            yield sent(response)

    def await_event(self, execution_id: str, *types: str, after: int = 0) -> Json:
        """The first event behind `after` of one of these types; it may be long ago or still to come."""
        with self.following(execution_id, after) as events:
            seen = []
            for event in events:
                seen.append(event["type"])
                if event["type"] in types:
                    return event
        raise AssertionError(f"{execution_id} ended without {types}: {seen}")

    def await_end(self, execution_id: str) -> Json:
        """The event that ends the execution."""
        return self.await_event(execution_id, *TERMINAL)

    def decide(
        self, execution_id: str, call_id: str, decision: str = "approve", user: str = "ada", **more: object
    ) -> httpx.Response:
        """Decide a call on the args that wait; the answer, whatever it is."""
        approval_id = f"{execution_id}.{call_id}"
        seen = self.get(f"/approvals/{approval_id}")["args_hash"]
        body = {"decision": decision, "args_hash": seen, **more}
        return self.http.post(f"/approvals/{approval_id}/decision", json=body, headers={"Agentspan-User": user})

    def _takes_work(self) -> bool:
        answer = self._readyz()
        return answer is not None and answer.status_code == 200

    def _readyz(self) -> httpx.Response | None:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended: {self.log.read_text()[-3000:]}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5)
        except httpx.TransportError:
            return None


def insisted(send: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer that succeeds, sent again while there is none: the same key makes that safe."""
    answers: list[httpx.Response] = []

    def succeeds() -> bool:
        try:
            answers.append(send())
        except httpx.TransportError:
            return False
        assert answers[-1].status_code in (200, 201, 503, 504), answers[-1].text
        return answers[-1].is_success

    eventually(succeeds, "the write is answered")
    return answers[-1]


def sent(response: httpx.Response) -> Iterator[Json]:
    """The events of a server-sent stream, with their ids checked against their seq."""
    seq, deadline = "", time.monotonic() + EVENT_WITHIN_S
    for line in response.iter_lines():
        assert time.monotonic() < deadline, f"the stream did not end within {EVENT_WITHIN_S} s"
        name, _, value = line.partition(": ")
        if name == "id":
            seq = value
        elif name == "data":
            event: Json = json.loads(value)
            assert seq == str(event["seq"])
            yield event


def clean_environment() -> dict[str, str]:
    """This process's, without what would change a server or a client."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AGENTSPAN_", "ANTHROPIC_"))}


def run(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """A command to its end."""
    return subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False
    )


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _ok(response: httpx.Response) -> Json:
    assert response.is_success, f"{response.request.method} {response.url}: {response.status_code} {response.text}"
    answer: Json = response.json()
    return answer
