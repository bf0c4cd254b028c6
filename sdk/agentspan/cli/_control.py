"""`agent cancel|pause|resume|send` and `execution resolve`: what is asked of the server, and what is said of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, assert_never

from agentspan.agents import Conflict
from agentspan.cli._api import Server, talk
from agentspan.cli._batch import WOULD, Named, Outcome, each, show
from agentspan.cli._exits import ExitCode
from agentspan.cli._options import Format
from agentspan.cli._show import compact, one, out, say
from agentspan_schemas.events import TERMINAL
from agentspan_schemas.http import ExecutionRef, ExecutionView, ResolutionRequest

Verb = Literal["cancel", "pause", "resume"]


def steer(verb: Verb, items: Sequence[Named], reason: str | None, output: Format, *, dry_run: bool) -> ExitCode:
    """Do it to each; the exit code."""

    async def work(server: Server) -> list[Outcome]:
        async def act(item: Named) -> Outcome:
            if dry_run:
                return _would(verb, await server.client.execution(item.execution_id))
            return await _steered(server, verb, item.execution_id, reason)

        return await each(items, act)

    return show(talk(work), output)


def show_sent(ref: ExecutionRef, output: Format) -> None:
    """`agent send`."""
    match output:
        case Format.TABLE:
            out(f"sent to {ref.execution_id} as event {ref.seq}; it is read before the next turn")
        case _:
            one(ref, output)


def show_resolved(ref: ExecutionRef, call_id: str, resolution: ResolutionRequest, output: Format) -> None:
    """`execution resolve`."""
    if output is not Format.TABLE:
        return one(ref, output)
    match resolution.outcome:
        case "succeeded":
            came = f"it returned {compact(resolution.value)}"
        case "failed":
            came = f"it failed: {resolution.error}"
        case "not_run":
            came = "it did not run, and may be run now"
        case _:
            assert_never(resolution.outcome)
    out(f"resolved {ref.execution_id}.{call_id}, attempt {resolution.attempt}: {came}")
    say(f"`agentspan agent status {ref.execution_id}` shows where it stands")


async def send(server: Server, execution_id: str, text: str) -> ExecutionRef:
    """Tell the run's agent something."""
    with _about(execution_id):
        return await server.client.send(execution_id, text)


async def resolve(server: Server, execution_id: str, call_id: str, resolution: ResolutionRequest) -> ExecutionRef:
    """Say what became of a call in doubt."""
    with _about(execution_id):
        return await server.client.resolve(execution_id, call_id, resolution)


@contextmanager
def _about(execution_id: str) -> Iterator[None]:
    """A refusal names its run, and where to look."""
    try:
        yield
    except Conflict as error:
        said = str(error) if execution_id in str(error) else f"{execution_id!r}: {error}"
        where = f"`agentspan agent status {execution_id}` shows where it stands"
        raise Conflict(f"{said}; {where}", status=error.status, code=error.code) from error


async def _steered(server: Server, verb: Verb, execution_id: str, reason: str | None) -> Outcome:
    with _about(execution_id):
        ref = await server.client.control(execution_id, verb, reason)
    now = await server.client.execution(execution_id, ref.position)
    details = "ends with the call that is out" if verb == "cancel" and now.status not in TERMINAL else ""
    return Outcome(execution_id, now.status, details, data=now.model_dump(mode="json"))


def _would(verb: Verb, run: ExecutionView) -> Outcome:
    """What would come of it, by the rules of the core. Raises Conflict for what would be refused."""
    if run.status in TERMINAL:
        raise Conflict(f"{run.execution_id!r} is {run.status}: it has ended, and nothing changes it; leave it out")
    if (verb == "pause") == (run.status == "paused") and verb != "cancel":
        why = "paused already" if verb == "pause" else f"{run.status}, not paused"
        raise Conflict(f"{run.execution_id!r} is {why}: there is nothing to {verb}; leave it out")
    done = {"cancel": "cancelled", "pause": "paused", "resume": "resumed"}[verb]
    return Outcome(run.execution_id, f"{WOULD} {done}", f"now {run.status}", data=run.model_dump(mode="json"))
