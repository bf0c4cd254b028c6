"""What `agentspan topics …` does: the topics of a cluster made, compared with the plan, shown; and what to allow whom.

Apart from the command line, which knows nothing of a cluster, and from the server, which makes no topic. Each returns
a Report; what goes wrong is a StartError.
"""

import asyncio
import shlex
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from agentspan.eventlog import LogError
from agentspan.eventlog.kafka import (
    ORCHESTRATORS,
    AccessDenied,
    Acl,
    ClusterUnreachable,
    DescribedTopic,
    Difference,
    KafkaConfig,
    PlannedTopic,
    TopicChoices,
    check_group,
    check_topics,
    create_topics,
    describe_topics,
    planned_topics,
)
from agentspan.eventlog.kafka import acls as planned_acls
from agentspan_standalone.errors import ClusterRefused, OutOfReach, SettingsError
from agentspan_standalone.settings import Settings

T = TypeVar("T")

ANSWERS_WITHIN_S = 10.0
"""A person waits; a server would go on trying."""

SAYS_WITHIN_S = 3.0
"""So long may a client take to say why it can't connect."""

TOLD = ("cleanup.policy", "retention.ms", "min.insync.replicas", "unclean.leader.election.enable")
"""The settings that `describe` shows of each topic; Kafka's own tools show the rest."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an operator chooses for a cluster."""

    partitions: int
    replication: int
    min_insync: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found or did."""

    items: tuple[Mapping[str, str | int], ...]
    """Rows, all with the same names."""
    said: str
    """A sentence about them."""
    as_planned: bool = True
    lines: tuple[str, ...] = ()
    """The same as commands to run, where there are such."""


def create(log: str | None, counts: Counts) -> Report:
    """Make the topics that are missing; those that exist are left as they are, whatever they are like."""
    config = _config(log)
    plan = _plan(config, counts)
    made = frozenset(_asked(config, create_topics(config, plan)))
    said = f"made {len(made)} topics"
    if len(made) < len(plan):
        said += (
            f"; {len(plan) - len(made)} were there: `agentspan topics check` tells whether they are as they should be"
        )
    return Report(tuple(_created(each, each.name in made) for each in plan), said)


def check(log: str | None, counts: Counts) -> Report:
    """What is not as planned on the cluster."""
    config = _config(log)
    plan = _plan(config, counts)
    found = _asked(config, _check(config, plan))
    said = f"not as planned: {len(found)}" if found else f"all {len(plan)} topics are as planned"
    return Report(tuple(asdict(each) for each in found), said, as_planned=not found)


def describe(log: str | None) -> Report:
    """The topics that there are, with the settings that matter to the log."""
    config = _config(log)
    names = [each.name for each in planned_topics(TopicChoices(prefix=config.prefix))]
    found = _asked(config, describe_topics(config, names))
    said = f"{len(found)} of {len(names)} topics are there"
    return Report(tuple(map(_described, found)), said, as_planned=len(found) == len(names))


def acls(log: str | None) -> Report:
    """What to allow each service's principal, as data and as lines for `kafka-acls.sh`. Asks no cluster."""
    config = _config(log)
    found = planned_acls(config.prefix)
    rows = tuple({**asdict(each), "principal": _principal(each)} for each in found)
    said = "the principals are examples: put in those that your cluster knows the services by"
    return Report(rows, said, lines=tuple(_acl_lines(config.bootstrap, found)))


def _config(log: str | None) -> KafkaConfig:
    settings = Settings.given(log=log)
    if not settings.log:
        raise SettingsError("which cluster? Give --log kafka://host:port?prefix=agentspan, or set AGENTSPAN_LOG")
    return replace(settings.kafka(), client_id="agentspan-topics", connect_timeout_s=ANSWERS_WITHIN_S)


def _plan(config: KafkaConfig, counts: Counts) -> tuple[PlannedTopic, ...]:
    if counts.min_insync > counts.replication:
        raise SettingsError(
            f"--min-insync {counts.min_insync} of --replication {counts.replication}: nothing could ever be written"
        )
    return planned_topics(
        TopicChoices(
            prefix=config.prefix,
            partitions=counts.partitions,
            replication=counts.replication,
            min_insync=counts.min_insync,
        )
    )


def _asked(config: KafkaConfig, asking: Coroutine[Any, Any, T]) -> T:
    """The cluster's answer. Raises OutOfReach or ClusterRefused."""
    try:
        return asyncio.run(asking)
    except ClusterUnreachable as error:
        raise OutOfReach(f"{error}{_heard(config)}") from error
    except AccessDenied as error:
        raise OutOfReach(str(error)) from error
    except LogError as error:
        raise ClusterRefused(str(error)) from error


def _heard(config: KafkaConfig) -> str:
    """What goes wrong on the way to the brokers (no route, no trust, a wrong password): a request only times out."""
    heard: list[KafkaError] = []
    AdminClient(config.admin() | {"error_cb": heard.append}).poll(SAYS_WITHIN_S)
    return f" ({heard[0].str()})" if heard else ""


async def _check(config: KafkaConfig, plan: Sequence[PlannedTopic]) -> tuple[Difference, ...]:
    return (*await check_topics(config, plan), *await check_group(config, ORCHESTRATORS))


def _created(topic: PlannedTopic, made: bool) -> Mapping[str, str | int]:
    state = "made" if made else "was there"
    return {"topic": topic.name, "partitions": topic.partitions, "replication": topic.replication, "state": state}


def _described(topic: DescribedTopic) -> Mapping[str, str | int]:
    settings = {name: topic.config.get(name, "") for name in TOLD}
    counts = {"partitions": topic.partitions, "replication": topic.replication}
    return {"topic": topic.name, "id": topic.id, **counts, **settings}


def _acl_lines(bootstrap: str, found: Sequence[Acl]) -> Iterator[str]:
    """One line allows a principal one operation on all its resources of a kind."""
    for _, group in groupby(found, lambda each: (each.service, each.resource, each.operation)):
        acls = list(group)
        names = " ".join(f"--{each.resource} {shlex.quote(each.name)}" for each in acls)
        yield (
            f"kafka-acls.sh --bootstrap-server {shlex.quote(bootstrap)} --add"
            f" --allow-principal {_principal(acls[0])} --operation {acls[0].operation} {names}"
        )


def _principal(acl: Acl) -> str:
    return f"User:agentspan-{acl.service}"
