"""What `agentspan topics …` does: the topics of a cluster made, compared with the plan, shown; and what to allow whom.

Apart from the command line, which knows nothing of a cluster, and from the server, which makes no topic. Each returns
a Report; what goes wrong is a StartError.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from agentspan.eventlog.kafka import (
    DECISIONS,
    INGEST,
    ORCHESTRATORS,
    PUBLISHERS,
    Acl,
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
from agentspan_schemas.topics import TOPICS, topic_name
from agentspan_standalone.cluster import asked, named_by
from agentspan_standalone.errors import SettingsError

GROUPS = (ORCHESTRATORS, INGEST, DECISIONS, PUBLISHERS)
"""Those that services are members of."""

TOLD = ("cleanup.policy", "retention.ms", "min.insync.replicas", "unclean.leader.election.enable")
"""The settings that `describe` shows of each topic; Kafka's own tools show the rest."""

COUNTED = frozenset({"partitions", "replication", "min.insync.replicas"})
"""What differs where `check` was given other counts than `create`."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an operator chooses for a cluster; None leaves it as it is there, or at the default."""

    partitions: int | None = None
    replication: int | None = None
    min_insync: int | None = None


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
    """Make the topics that are missing, of as many partitions as the others; those that exist are left as they are."""
    config = named_by(log, client="topics")
    there = {each.name: each for each in asked(describe_topics(config, _names(config)))}
    plan = _plan(config, _beside(there, counts, config))
    made = frozenset(asked(create_topics(config, plan)))
    said = "made 1 topic" if len(made) == 1 else f"made {len(made)} topics"
    if len(made) < len(plan):
        said += (
            f"; {len(plan) - len(made)} were there: `agentspan topics check` tells whether they are as they should be"
        )
    return Report(tuple(_created(there.get(each.name, each), each.name in made) for each in plan), said)


def check(log: str | None, counts: Counts) -> Report:
    """What is not as planned on the cluster."""
    config = named_by(log, client="topics")
    plan = _plan(config, counts)
    found = asked(_check(config, plan))
    said = f"not as planned: {len(found)}{_advice(found)}" if found else f"all {len(plan)} topics are as planned"
    return Report(tuple(asdict(each) for each in found), said, as_planned=not found)


def _advice(found: Sequence[Difference]) -> str:
    settings = {each.setting for each in found}
    if "topic" in settings:
        return "; `agentspan topics create` makes what is missing"
    if settings and settings <= COUNTED:
        return "; give the --partitions, --replication and --min-insync that they were created with"
    return ""


def describe(log: str | None) -> Report:
    """The topics that there are, with the settings that matter to the log."""
    config = named_by(log, client="topics")
    names = _names(config)
    found = asked(describe_topics(config, names))
    said = f"{len(found)} of {len(names)} topics are there"
    if len(found) < len(names):
        said += ": `agentspan topics create` makes what is missing"
    return Report(tuple(map(_described, found)), said, as_planned=len(found) == len(names))


def acls(log: str | None) -> Report:
    """What to allow each service's principal, as data and as lines for `kafka-acls.sh`. Asks no cluster."""
    config = named_by(log, client="topics")
    found = planned_acls(config.prefix)
    rows = tuple({**asdict(each), "principal": _principal(each)} for each in found)
    said = "the principals are examples: put in those that your cluster knows the services by"
    return Report(rows, said, lines=tuple(_acl_lines(config.bootstrap, found)))


def _names(config: KafkaConfig) -> list[str]:
    return [each.name for each in planned_topics(TopicChoices(prefix=config.prefix))]


def _beside(there: Mapping[str, DescribedTopic], counts: Counts, config: KafkaConfig) -> Counts:
    """Of what is made beside topics that are there: an execution has to have the same partition in each. Raises
    SettingsError for another number of partitions, which is theirs for ever."""
    alike = [topic_name(each, config.prefix) for each in TOPICS if each.partitioned_like_events]
    found = next((there[name] for name in alike if name in there), None)
    if found is None:
        return counts
    if counts.partitions not in (None, found.partitions):
        raise SettingsError(
            f"--partitions {counts.partitions}: {found.name!r} has {found.partitions}, for ever, and the others have "
            "to have as many; leave --partitions out, or name another prefix"
        )
    least = int(found.config["min.insync.replicas"])
    return Counts(found.partitions, counts.replication or found.replication, counts.min_insync or least)


def _plan(config: KafkaConfig, counts: Counts) -> tuple[PlannedTopic, ...]:
    chosen = {name: count for name, count in asdict(counts).items() if count is not None}
    choices = replace(TopicChoices(prefix=config.prefix), **chosen)
    if choices.min_insync > choices.replication:
        raise SettingsError(
            f"--min-insync {choices.min_insync} of --replication {choices.replication}: nothing could ever be written"
        )
    return planned_topics(choices)


async def _check(config: KafkaConfig, plan: Sequence[PlannedTopic]) -> tuple[Difference, ...]:
    """Under KIP-848 also the groups, for how long a silent member is waited for is theirs to say."""
    groups = [difference for group in GROUPS for difference in await check_group(config, group)]
    return (*await check_topics(config, plan), *groups)


def _created(topic: PlannedTopic | DescribedTopic, made: bool) -> Mapping[str, str | int]:
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
