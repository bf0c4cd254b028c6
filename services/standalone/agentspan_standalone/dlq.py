"""What `agentspan dlq …` does: dead letters listed, shown, sent again, put away.

Apart from the command line, which knows nothing of a cluster or a data folder. What goes wrong is a StartError; what is
done before it stays done, and the same command again goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from agentspan.eventlog import LogError
from agentspan.eventlog.letters import Letter as Letter
from agentspan.eventlog.letters import Letterbox, LetterId, handle, letters, replay, whole
from agentspan.eventlog.sqlite_letters import SqliteLetters
from agentspan_schemas.dead_letters import REASONS, Handled
from agentspan_schemas.topics import EVENTS, WITH_DEAD_LETTERS, Topic
from agentspan_standalone.errors import LetterHandled, LogRefused, NoSuchLetter, SettingsError
from agentspan_standalone.plumbing import LETTERS_FILE, LOG_FILE
from agentspan_standalone.settings import Settings

T = TypeVar("T")
Ask = Callable[[Sequence[Letterbox]], Coroutine[Any, Any, T]]

WITH_LETTERS = {topic.name: topic for topic in WITH_DEAD_LETTERS}
"""The topics whose records can be put aside."""


@dataclass(frozen=True, slots=True)
class Where:
    """Whose dead letters: of the cluster that `log` names, or the environment; else of a data folder."""

    log: str | None = None
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters; nothing given is all."""

    topic: str | None = None
    why: tuple[str, ...] = ()
    since: datetime | None = None

    def __post_init__(self) -> None:
        """Raises SettingsError for a reason that there is not: no letter has it, which looked as if there were none."""
        known = [reason.code for reason in REASONS]
        for wrong in sorted(set(self.why) - set(known)):
            raise SettingsError(f"{wrong!r} is no reason of a dead letter; they are {', '.join(known)}")

    def fit(self, letter: Letter) -> bool:
        """Whether it is one of them; of the topic were asked no others."""
        return (not self.why or letter.why.error in self.why) and (self.since is None or letter.why.at >= self.since)


@dataclass(frozen=True, slots=True)
class Which:
    """What to act on: the letters with these ids, or, without any, all that fit and wait."""

    ids: tuple[str, ...] = ()
    filters: Filters = Filters()
    again: bool = False
    """Also those that were handled before, where they are named."""


@dataclass(frozen=True, slots=True)
class Note:
    """Who does it, when, and why."""

    by: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, letter by letter; `stopped` says why not all was."""

    letters: tuple[Letter, ...]
    left: tuple[Letter, ...] = ()
    """Those that can't be sent again: of some nothing was kept, and events stand on the log."""
    stopped: str | None = None


def listed(where: Where, filters: Filters, *, handled: bool) -> tuple[Letter, ...]:
    """Those that wait for somebody, oldest first; with `handled` also the others."""

    async def ask(boxes: Sequence[Letterbox]) -> tuple[Letter, ...]:
        found = [letter for box in boxes for letter in await letters(box)]
        fitting = [each for each in found if filters.fit(each) and (handled or each.handled is None)]
        return tuple(sorted(fitting, key=lambda each: (each.why.at, each.id)))

    return _opened(where, _named([filters.topic] if filters.topic else ()), ask)


def shown(where: Where, id_: str) -> Letter:
    """One letter, whole, handled or not. Raises NoSuchLetter."""
    wanted = _id(id_)

    async def ask(boxes: Sequence[Letterbox]) -> Letter:
        [box] = boxes
        known = _known(await letters(box), [wanted])
        async for letter in whole(box, known.__contains__):
            return replace(letter, handled=known[wanted].handled)
        raise _missing(wanted)

    return _opened(where, _named([wanted.topic]), ask)


def replayed(where: Where, which: Which, note: Note, *, dry_run: bool) -> Done:
    """Send records again, as they came. At least once. Raises NoSuchLetter or LetterHandled before anything is done."""

    async def ask(boxes: Sequence[Letterbox]) -> Done:
        picked = await _picked(boxes, which, "`agentspan dlq replay {id} --again` sends it once more")
        todo = {letter.id: letter for letter in picked if _can_be_sent(letter)}
        left = tuple(letter for letter in picked if not _can_be_sent(letter))
        if dry_run:
            return Done(tuple(todo.values()), left)

        async def each(box: Letterbox) -> AsyncIterator[tuple[LetterId, Awaitable[None]]]:
            async for letter in whole(box, todo.__contains__):
                yield letter.id, replay(box, letter, _handled(letter.id, "replayed", note))

        return await _until_stopped(boxes, todo, left, each)

    return _opened(where, _wanted(which), ask)


def discarded(where: Where, which: Which, note: Note, *, dry_run: bool) -> Done:
    """Put letters away. Raises NoSuchLetter or LetterHandled before anything is done."""

    async def ask(boxes: Sequence[Letterbox]) -> Done:
        picked = await _picked(boxes, which, "it waits for nobody any more; leave it out to discard others")
        todo = {letter.id: letter for letter in picked}
        if dry_run:
            return Done(tuple(todo.values()))

        async def each(box: Letterbox) -> AsyncIterator[tuple[LetterId, Awaitable[None]]]:
            for id_ in todo:
                if id_.topic == box.name:
                    yield id_, handle(box, _handled(id_, "discarded", note))

        return await _until_stopped(boxes, todo, (), each)

    return _opened(where, _wanted(which), ask)


Each = Callable[[Letterbox], AsyncIterator[tuple[LetterId, Awaitable[None]]]]


async def _until_stopped(
    boxes: Sequence[Letterbox], todo: dict[LetterId, Letter], left: tuple[Letter, ...], each: Each
) -> Done:
    """Do it one after the other; the first that fails ends it, and what was done is told."""
    done: list[Letter] = []
    try:
        for box in boxes:
            async for id_, act in each(box):
                await act
                done.append(todo[id_])
    except LogError as error:
        return Done(tuple(done), left, f"{len(done)} of {len(todo)} are done: {error}; the same command again goes on")
    return Done(tuple(done), left)


async def _picked(boxes: Sequence[Letterbox], which: Which, advice: str) -> list[Letter]:
    """What to act on. Raises LetterHandled, with the advice, for a letter that somebody has handled."""
    found = [letter for box in boxes for letter in await letters(box)]
    if not which.ids:
        return [letter for letter in found if letter.handled is None and which.filters.fit(letter)]
    known = _known(found, [_id(text) for text in which.ids])
    for letter in known.values():
        if letter.handled is not None and not which.again:
            raise LetterHandled(
                f"{str(letter.id)!r} was {letter.handled.action} by {letter.handled.by!r} at"
                f" {letter.handled.at.isoformat()}: nothing was done; {advice.format(id=letter.id)}"
            )
    return list(known.values())


def _can_be_sent(letter: Letter) -> bool:
    return letter.omitted is None and letter.id.topic != EVENTS.name


def _known(found: Sequence[Letter], wanted: Collection[LetterId]) -> dict[LetterId, Letter]:
    """The letters of these ids. Raises NoSuchLetter."""
    known = {letter.id: letter for letter in found if letter.id in wanted}
    for id_ in wanted:
        if id_ not in known:
            raise _missing(id_)
    return known


def _missing(id_: LetterId) -> NoSuchLetter:
    return NoSuchLetter(
        f"there is no dead letter {str(id_)!r}: they are kept for 30 days; `agentspan dlq list --handled` shows all"
    )


def _handled(id_: LetterId, action: Literal["replayed", "discarded"], note: Note) -> Handled:
    return Handled(
        partition=id_.partition, offset=id_.offset, action=action, by=note.by, at=note.at, reason=note.reason
    )


def _id(text: str) -> LetterId:
    try:
        found = LetterId.parse(text)
    except ValueError as error:
        raise SettingsError(f"{error}; `agentspan dlq list` shows them") from error
    _named([found.topic])
    return found


def _wanted(which: Which) -> tuple[Topic, ...]:
    names = [_id(text).topic for text in which.ids] or ([which.filters.topic] if which.filters.topic else [])
    return _named(names)


def _named(names: Sequence[str]) -> tuple[Topic, ...]:
    """The topics of these names; all without any. Raises SettingsError."""
    for name in names:
        if name not in WITH_LETTERS:
            raise SettingsError(f"{name!r} has no dead letters; these topics have: {', '.join(WITH_LETTERS)}")
    return tuple(topic for name, topic in WITH_LETTERS.items() if not names or name in names)


def _opened(where: Where, topics: Sequence[Topic], ask: Ask[T]) -> T:
    settings = Settings.given(log=where.log, data=where.data.absolute() if where.data else None)
    if settings.log:
        return _of_cluster(where.log, topics, ask)
    try:
        return asyncio.run(ask(_of_folder(settings, topics)))
    except LogError as error:
        raise LogRefused(str(error)) from error


def _of_cluster(log: str | None, topics: Sequence[Topic], ask: Ask[T]) -> T:
    from agentspan_standalone import cluster  # Kafka's client, which a data folder does without

    async def asking() -> T:
        async with cluster.letterboxes(cluster.named_by(log, client="dlq"), topics) as boxes:
            return await ask(boxes)

    return cluster.asked(asking())


def _of_folder(settings: Settings, topics: Sequence[Topic]) -> Sequence[Letterbox]:
    if not (settings.data / LOG_FILE).exists():
        raise SettingsError(
            f"which log? There is none in {str(settings.data)!r}: give --data, or --log kafka://host:port?prefix=agentspan"
        )
    return [SqliteLetters(settings.data / LETTERS_FILE, topic.name) for topic in topics]
