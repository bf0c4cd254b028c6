"""The fold of the events topic by an audit of its own: what each execution, call and step came to, and what is wrong
with it. Events are what JSON makes of them; no model and no fold of the product's is used.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import rfc8785

from tests.kafka.evidence import Json, Raw, by_partition, outcomes
from tests.kafka.findings import Finding

TERMINAL = {"done": "completed", "failed": "failed", "cancelled": "cancelled"}
DECISIONS = ("approved", "rejected", "expired")
NOT_RUN = ("declined", "resolved")
"""Why alone a once call is tried again."""


@dataclass(slots=True)
class CallStory:
    """What the events say about one call."""

    proposed: Json
    shown: Json | None = None
    """The `waiting` event."""
    decision: Json | None = None
    grants: list[Json] = field(default_factory=list)
    out: bool = False
    """Whether the last grant has no result, and was not declined."""
    doubted: bool = False
    result: Json | None = None
    attempt: int = 1
    retry_at: str | None = None

    @property
    def once(self) -> bool:
        return bool(self.proposed["effects"] == "once")

    @property
    def may_run(self) -> bool:
        """Whether nobody has to decide it any more, and somebody may run it."""
        if not self.proposed["approval_required"]:
            return True
        return self.decision is not None and self.decision["type"] == "approved"

    @property
    def args(self) -> Json:
        """The effective ones."""
        approved = self.decision if self.decision is not None and self.decision["type"] == "approved" else None
        found: Json = (approved or self.proposed)["args"]
        return found


class Story:
    """All that counts about one execution."""

    def __init__(self, execution_id: str, partition: int) -> None:
        self.execution_id = execution_id
        self.partition = partition
        self.events: list[Json] = []
        self.places: list[Raw] = []
        self.findings: list[Finding] = []
        self.calls: dict[str, CallStory] = {}
        self.turn_calls: list[str] = []
        """The calls of the turn that is being worked on."""
        self.opened: set[str] = set()
        """The keys of all tasks that were ever open."""
        self.worked_on: set[str] = set()
        """Those on which somebody worked."""
        self.model: tuple[int, int] | None = None
        """The open model call: turn and attempt."""
        self.model_retry_at: str | None = None
        self.turns = 0
        self.tokens = [0, 0]
        self.paused = False
        self.ending = False

    @property
    def last(self) -> Json:
        """The last event."""
        return self.events[-1]

    @property
    def terminal(self) -> bool:
        return bool(self.events) and self.last["type"] in TERMINAL

    def open_keys(self) -> set[str]:
        """The keys of the tasks that are open, but for those that wait for the time of a retry."""
        if self.terminal or self.paused or self.ending:
            return set()
        found = {
            self._key(call_id, call.attempt)
            for call_id, call in self.calls.items()
            if call.may_run and call.result is None and not call.out and call.retry_at is None
        }
        if self.model is not None and self.model_retry_at is None:
            found.add(self._key(f"model-{self.model[0]}", self.model[1]))
        return found

    def waiting_keys(self) -> set[str]:
        """The keys of the tasks that are open from the time of a retry on, which may have come or not."""
        retried = {
            self._key(call_id, call.attempt)
            for call_id, call in self.calls.items()
            if call.retry_at is not None and call.result is None
        }
        if self.model is not None and self.model_retry_at is not None:
            retried.add(self._key(f"model-{self.model[0]}", self.model[1]))
        return set() if self.terminal or self.paused or self.ending else retried

    def feed(self, raw: Raw) -> None:
        """The next event."""
        event = raw.json
        if self.terminal:
            self._find("terminal-is-final", event, f"after {self.last['type']}")
        self._number(event, raw)
        self._check_route(event, raw)
        self.events.append(event)
        self.places.append(raw)
        self._fold(event)
        shown = (event["status"], *_totals(event["totals"]))
        if shown != self._envelope():
            self._find("envelope-true", event, f"says {shown}, and {self._envelope()} follows")

    def _number(self, event: Json, raw: Raw) -> None:
        if raw.partition != self.partition:
            self._find("seq-gapless", event, f"stands in partition {raw.partition}, others in {self.partition}")
        following = len(self.events) + 1
        if not event["seq"] == int(raw.headers["ce_seq"]) == following:
            self._find("seq-gapless", event, f"is number {event['seq']} and stands as {following}")
        if self.events and event["at"] < self.last["at"]:
            self._find("seq-gapless", event, f"is of {event['at']}, the one before of {self.last['at']}")

    def _check_route(self, event: Json, raw: Raw) -> None:
        said = [raw.key, *(raw.headers.get(f"ce_{name}") for name in ("subject", "type", "status", "agent"))]
        wanted = [event[name] for name in ("execution_id", "execution_id", "type", "status", "agent")]
        if said != wanted:
            self._find("routed-truly", event, f"is routed as {said}")

    def _fold(self, event: Json) -> None:
        match event["type"]:
            case "model_called":
                self.turns, self.model = event["turn"], (event["turn"], event["attempt"])
                self.opened.add(self._key(f"model-{event['turn']}", event["attempt"]))
            case "model_replied":
                self.worked_on.add(self._key(f"model-{event['turn']}", event["attempt"]))
                self.model = self.model_retry_at = None
                self.tokens[0] += event["usage"]["input_tokens"]
                self.tokens[1] += event["usage"]["output_tokens"]
            case "retry_scheduled" if event["call_id"] is None:
                self.model, self.model_retry_at = (event["turn"], event["attempt"]), event["retry_at"]
                self.opened.add(self._key(f"model-{event['turn']}", event["attempt"]))
            case "paused" | "resumed":
                self.paused = event["type"] == "paused"
            case "cancel_requested":
                self.ending = True
            case "done" | "failed" | "cancelled":
                out = [call_id for call_id, call in self.calls.items() if call.out]
                if out:
                    self._find("terminal-is-final", event, f"while {out} is out")
            case "tool_call":
                self._proposed(event)
            case _ if event.get("call_id"):
                self._of_a_call(event)

    def _proposed(self, event: Json) -> None:
        call_id = event["call_id"]
        if call_id in self.calls:
            self._find("one-result", event, "is proposed twice")
        self.calls[call_id] = CallStory(event)
        self._check_args(event, event["args"])
        if not event["approval_required"]:
            self.opened.add(self._key(call_id, 1))

    def _of_a_call(self, event: Json) -> None:
        call = self.calls.get(event["call_id"])
        if call is None or call.result is not None:
            self._find("one-result", event, "of a call that is over" if call else "of a call that nobody proposed")
            return
        match event["type"]:
            case "waiting":
                call.shown = event
                self._check_args(event, call.proposed["args"])
            case "approved" | "rejected" | "expired":
                self._decided(call, event)
            case "tool_started":
                self._granted(call, event)
            case "in_doubt":
                self._doubted(call, event)
            case "retry_scheduled":
                if call.once and event["reason"] not in NOT_RUN:
                    self._find("never-blind", event, f"of a once call: {event['reason']}")
                call.out = call.doubted = False
                call.attempt, call.retry_at = event["attempt"], event["retry_at"]
                self.opened.add(self._key(event["call_id"], event["attempt"]))
            case "tool_result":
                self._returned(call, event)

    def _decided(self, call: CallStory, event: Json) -> None:
        if call.decision is not None or call.shown is None:
            self._find("decided-once", event, "was decided before" if call.decision else "does not wait")
        elif event["type"] != "expired" and event["seen_args_hash"] != call.shown["args_hash"]:
            self._find("decided-once", event, "is about other arguments than were shown")
        call.decision = event
        if event["type"] == "approved":
            edited = event["edited_args"]
            self._check_args(event, call.proposed["args"] if edited is None else edited)
            self.opened.add(self._key(event["call_id"], call.attempt))

    def _granted(self, call: CallStory, event: Json) -> None:
        if call.out or not call.may_run or event["attempt"] != call.attempt:
            why = "while another grant is out" if call.out else "before it may run, or of another attempt"
            self._find("one-grant", event, why)
        call.grants.append(event)
        call.out, call.retry_at = True, None
        self.worked_on.add(self._key(event["call_id"], event["attempt"]))

    def _doubted(self, call: CallStory, event: Json) -> None:
        grant = call.grants[-1] if call.grants else None
        if grant is None or not call.out:
            self._find("never-blind", event, "with no grant out")
        elif _moment(event) < _moment(grant) + timedelta(seconds=grant["grant_s"]):
            self._find("never-blind", event, f"before the grant of {grant['at']} ends")
        call.doubted = True

    def _check_args(self, event: Json, wanted: Json) -> None:
        """By the canonical form that the documents name, of a library's making."""
        found = event["args"], event["args_hash"]
        if found != (wanted, hashlib.sha256(rfc8785.dumps(wanted)).hexdigest()):
            self._find("args-shown", event, f"has {found}, and {wanted} was called, shown or written instead")

    def _returned(self, call: CallStory, event: Json) -> None:
        resolved = event["resolved_by"] is not None
        if event["ok"] and not resolved and not call.may_run:
            self._find("one-result", event, "of a call that nobody approved")
        claims = [grant["claim_id"] for grant in call.grants]
        if event["ok"] and not resolved and call.once and event["claim_id"] not in claims:
            self._find("one-result", event, f"under no grant of {claims}")
        if event["worker"] is not None and not resolved:
            self.worked_on.add(self._key(event["call_id"], event["attempt"]))
        call.result, call.out = event, False

    def _envelope(self) -> tuple[object, ...]:
        waiting = [c.proposed["tool"] for c in self._calls_of_the_turn() if _awaited(c)] if not self.terminal else []
        status = "paused" if self.paused else "waiting" if waiting else "running"
        return (TERMINAL.get(self.last["type"], status), self.turns, len(self.calls), *self.tokens, waiting)

    def _calls_of_the_turn(self) -> Iterable[CallStory]:
        return (call for call in self.calls.values() if call.proposed["turn"] == self.turns)

    def _key(self, step: str, attempt: int) -> str:
        return f"{self.execution_id}/{step}/{attempt}"

    def _find(self, check: str, event: Json, what: str) -> None:
        name = f"{self.execution_id}#{event['seq']} {event['type']} {event.get('call_id') or ''}"
        self.findings.append(Finding(check, f"{name} {what}"))


@dataclass(slots=True)
class Told:
    """The events topic as a whole."""

    stories: dict[str, Story]
    outcomes: dict[int, list[list[Raw]]]
    """Those that count, of each partition."""
    takeovers: int = 0
    ghosts: int = 0
    """Records that do not count, but for takeovers."""


def told(events: Iterable[Raw]) -> Told:
    """The stories of all executions."""
    found = Told({}, {})
    for partition, records in by_partition(events).items():
        found.takeovers += sum(raw.headers.get("ce_n") == "0" for raw in records)
        found.ghosts += sum(raw.headers.get("ce_n") != "0" for raw in records)
        counting = found.outcomes[partition] = outcomes(records)
        for raw in (raw for outcome in counting for raw in outcome):
            found.ghosts -= 1
            if raw.headers.get("ce_seq"):
                found.stories.setdefault(raw.key, Story(raw.key, partition)).feed(raw)
    return found


def _awaited(call: CallStory) -> bool:
    waits = call.proposed["approval_required"] and call.decision is None
    return call.result is None and bool(call.doubted or waits)


def _moment(event: Json) -> datetime:
    return datetime.fromisoformat(event["at"])


def _totals(totals: Json) -> tuple[object, ...]:
    names = ("turns", "tool_calls", "input_tokens", "output_tokens", "waiting_on")
    return tuple(totals[name] for name in names)
