"""The client: each method is one thing that another team does with the topics.

It follows partitions by itself and joins no group: where you stand is yours to keep (`Found.resume`), and a request
that waits is seen again after a restart, for as long as it waits.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Literal, Self, get_args

from agentspan.eventlog import BEGINNING, CaughtUp, Change, Log, Outcome, Position
from agentspan.topics._merging import merged
from agentspan.topics._ports import Found, Sent, Transport
from agentspan_schemas import JsonObject, NewerVersion, Unreadable
from agentspan_schemas.approvals import ApprovalRecord, ApprovalState, Decision
from agentspan_schemas.canonical import content_hash
from agentspan_schemas.cloudevents import binary_headers
from agentspan_schemas.codec import APPROVALS, EVENTS, encode
from agentspan_schemas.events import Event
from agentspan_schemas.http import DecisionRequest
from agentspan_schemas.tickets import Ticket
from agentspan_schemas.topics import DECISIONS, TICKETS

logger = logging.getLogger("agentspan.topics")

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the clock that stamped an event may be ahead of the one that stamped its record."""


def connect(bootstrap: str, *, prefix: str = "agentspan", security: Mapping[str, str] | None = None) -> "Topics":
    """Topics on the cluster at `host:port`, several with commas between; connected with the first use.

    `security`: the client library's TLS and SASL settings (docs/topics.md). Raises ModuleNotFoundError
    without that library.
    """
    from agentspan.topics.adapters.cluster import ClusterTransport  # an extra: in memory, it is not needed

    return Topics(ClusterTransport(bootstrap, prefix=prefix, security=security or {}))


class Topics:
    """The topics of one deployment."""

    def __init__(self, transport: Transport, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._transport = transport
        self._now = now

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the cluster."""
        await self._transport.close()

    async def emit(self, ticket: Ticket, *, type: str = "agentspan.ticket", traceparent: str | None = None) -> None:
        """Send a ticket; it starts one execution, however often it is sent. Returns when it is stored.

        `type` is the CloudEvent's, which ticket mappings can ask for. Raises TooLarge, or LogError: send it again.
        """
        headers = binary_headers(
            id=ticket.id,
            type=type,
            source=ticket.source,
            subject=ticket.id,
            time=self._now(),
            **({} if traceparent is None else {"traceparent": traceparent}),
        )
        await self._transport.send(Sent(TICKETS, ticket.id, encode(ticket), headers))

    async def decide(
        self,
        request: ApprovalRecord,
        decision: Literal["approve", "reject"],
        *,
        by: str,
        reason: str | None = None,
        edited_args: JsonObject | None = None,
        decision_id: str | None = None,
    ) -> str:
        """Send a decision about exactly the arguments in `request`; its id. What came of it is in the `attempts` of the
        request's later records. Raises as `emit`, and ValueError for what no door would take.

        Without `decision_id`, the same decision of the same service on the same request has the same one.
        """
        DecisionRequest(decision=decision, args_hash=request.args_hash, reason=reason, edited_args=edited_args)
        made = content_hash([request.approval_id, decision, request.args_hash, reason, edited_args])[:32]
        asked = Decision(
            decision_id=decision_id or made,
            approval_id=request.approval_id,
            decision=decision,
            args_hash=request.args_hash,
            by=by,
            reason=reason,
            edited_args=edited_args,
        )
        headers = binary_headers(
            id=asked.decision_id,
            type="agentspan.decision",
            source=f"/services/{by}",
            subject=request.approval_id,
            time=self._now(),
        )
        await self._transport.send(Sent(DECISIONS, request.approval_id, encode(asked), headers))
        return asked.decision_id

    async def approvals(
        self, *, states: Collection[ApprovalState] = (), partitions: Collection[int] | None = None
    ) -> AsyncGenerator[ApprovalRecord, None]:
        """Every request as it stands, then as it changes; never an older record after a newer one. For ever.

        `states` leaves out all others, `partitions` what another instance of yours follows. Raises ValueError for one
        that there is not, and LogError as `events`.
        """
        if unknown := set(states) - set(get_args(ApprovalState)):
            raise ValueError(f"{sorted(unknown)!r}: no such state; they are {', '.join(get_args(ApprovalState))}")
        table = await self._transport.approvals()
        seen: dict[str, tuple[int, int]] = {}
        numbers = _numbers(partitions, table.partitions)
        async with aclosing(merged([table.follow(number) for number in numbers])) as changes:
            async for change in changes:
                record = None if isinstance(change, CaughtUp) else _newer(change, seen)
                if record is not None and (not states or record.state in states):
                    yield record

    async def events(
        self,
        *,
        since: datetime | None = None,
        after: Mapping[int, Position | int] | None = None,
        partitions: Collection[int] | None = None,
    ) -> AsyncGenerator[Found, None]:
        """Every event that counts, in order for each execution, from the beginning, a time or positions; for ever.

        An event that cannot be read is left out, with a warning; one of a later version of the contract ends the
        iteration with NewerVersion: upgrade, and go on where you were. `since`: those that happened then or later.
        `after`: by partition, `Found.resume` of the last one that you are done with, or any offset; a partition that
        is not named begins as `since` says. Raises ValueError for a partition that there is not; LogError without the
        topic, and when no broker answers at the beginning: one that is away later is waited for.
        """
        log = await self._transport.log()
        numbers = _numbers(partitions, log.partitions)
        _numbers(after or None, log.partitions)
        begins = {number: await self._begin(number, since, after or {}) for number in numbers}
        streams = [_followed(log, number, begin) for number, begin in begins.items()]
        named = (after or {}).keys()
        async with aclosing(merged(streams)) as found:
            async for each in found:
                if since is None or each.partition in named or each.event.at >= since:
                    yield each

    async def _begin(self, number: int, since: datetime | None, after: Mapping[int, Position | int]) -> Position | int:
        if number in after:
            return after[number]
        if since is None:
            return BEGINNING
        return await self._transport.offset_at(number, since - CLOCKS_DIFFER)


def _numbers(wanted: Collection[int] | None, count: int) -> Collection[int]:
    """The partitions to follow. Raises ValueError: of one that is not there nothing would ever come."""
    if wanted is not None and not (wanted and min(wanted) >= 0 and max(wanted) < count):
        raise ValueError(f"partitions {sorted(wanted)!r}: the topic has {count}, from 0 to {count - 1}")
    return range(count) if wanted is None else sorted(wanted)


async def _followed(log: Log, number: int, begin: Position | int) -> AsyncIterator[Found]:
    async for outcome in log.partition(number).follow(begin):
        for found in _found(outcome, number):
            yield found


def _found(outcome: Outcome, number: int) -> list[Found]:
    """The events of an outcome; only after its last one may a reader go on behind it."""
    first = outcome.records[0]
    before = Position(first.offset, first.stamp.epoch, first.stamp.n - 1)
    events = list(_readable(outcome, number))
    last = len(events) - 1
    return [
        Found(event, number, offset, outcome.position if index == last else before)
        for index, (offset, event) in enumerate(events)
    ]


def _readable(outcome: Outcome, number: int) -> Iterator[tuple[int, Event]]:
    for offset, _, record in outcome.records:
        if record.type in EVENTS.types:
            try:
                yield offset, EVENTS.decode(record.value)
            except NewerVersion:
                raise
            except Unreadable as error:
                logger.warning("an event of %r at %d:%d is left out: %s", record.key, number, offset, error)


def _newer(change: Change, seen: dict[str, tuple[int, int]]) -> ApprovalRecord | None:
    """The record, if it is above all that were seen of its request."""
    if change.record is None:
        seen.pop(change.key, None)
        return None
    try:
        record = APPROVALS.decode(change.record.value)
    except Unreadable as error:
        logger.warning("a record of %r is left out: %s", change.key, error)
        return None
    if record.version <= seen.get(change.key, (-1, 0)):
        return None
    seen[change.key] = record.version
    return record
