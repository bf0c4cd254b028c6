"""The program of the end-to-end tests, run in processes of its own: an agent like the seed's, and its small shop.

Each time that a tool's code runs it leaves a row in the shop's database, and a line on standard output. In a
worker with HANGS set, metadata may name a tool that never returns: it stops at `hang_before` its row, or `hang_after`.
Verbs: `begin RECORDING`, `serve`, `approve ID`, `stream ID`.
"""

import os
import sqlite3
import sys
import threading
from pathlib import Path

from agentspan.agents import Agent, AgentHandle, AgentRuntime, current_context, start, tool


def say(line: str) -> None:
    """One line, whole: `print` writes its end apart, and tools run in many threads."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def never_return(name: str) -> None:
    """Say so, and stay."""
    say(f"inside {name}")
    threading.Event().wait()


def effect(name: str, detail: str) -> dict[str, str]:
    """Do it, for good: a row that says which call did it."""
    context = current_context()
    hangs = context.metadata if "HANGS" in os.environ else {}
    if hangs.get("hang_before") == name:
        never_return(name)
    with sqlite3.connect(os.environ["SHOP"], timeout=20) as database:
        row = (context.execution_id, name, context.idempotency_key, context.attempt, os.getpid(), detail)
        database.execute("INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?)", row)
    database.close()
    say(f"ran {name}")
    if hangs.get("hang_after") == name:
        never_return(name)
    return {"id": context.idempotency_key, "detail": detail}


@tool
def lookup_customer(email: str) -> dict[str, str]:
    """Fetch a customer."""
    return effect("lookup_customer", email)


@tool(approval_required=True)
def issue_refund(customer_id: str, amount_usd: float, reason: str) -> dict[str, str]:
    """Refund a customer."""
    return effect("issue_refund", f"{customer_id} {amount_usd:g} {reason}")


@tool(approval_required=True, approval_expires_s=2)
def offer_credit(customer_id: str, amount_usd: float) -> dict[str, str]:
    """Credit a customer, while the offer stands."""
    return effect("offer_credit", f"{customer_id} {amount_usd:g}")


shop_agent = Agent(
    name="shop", model="replay/shop", tools=[lookup_customer, issue_refund, offer_credit], instructions="Help them."
)


def make_database(path: Path) -> None:
    """An empty shop."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        columns = "execution_id, tool, key, attempt INTEGER, pid INTEGER, detail"
        database.execute(f"CREATE TABLE effects ({columns})")
    database.close()


def begin(recording: str) -> None:
    """As the seed's program: start, stream until a person is needed, say the id, and exit."""
    handle = start(shop_agent, "please refund me", metadata={"recording": recording})
    for event in handle.stream():
        if event.type == "waiting":
            print(f"waiting {event.tool_name} {handle.execution_id}", flush=True)
            break


def serve() -> None:
    """Run the shop's tools until standard input ends."""
    with AgentRuntime() as runtime:
        runtime.serve(shop_agent, blocking=False)
        print("serving", flush=True)
        sys.stdin.read()


def approve(execution_id: str) -> None:
    """As the seed's reviewer."""
    with AgentRuntime() as runtime:
        AgentHandle(execution_id=execution_id, runtime=runtime).approve()


def stream(execution_id: str) -> None:
    """Say every event of the run, from the first to the last."""
    with AgentRuntime() as runtime:
        for event in AgentHandle(execution_id=execution_id, runtime=runtime).stream(after=0):
            print(event.seq, event.type, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["begin", recording]:
            begin(recording)
        case ["serve"]:
            serve()
        case ["approve", execution_id]:
            approve(execution_id)
        case ["stream", execution_id]:
            stream(execution_id)
        case unknown:
            sys.exit(f"unknown: {unknown}")
