"""A reply's words on their way to who follows: how they are gathered, what offsets count, what nobody's words cost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.codec import encode
from agentspan_schemas.http import Delta
from agentspan_tool_runner.models import ModelRequest, ModelResponse, Providers
from agentspan_tool_runner.service import ModelLane
from agentspan_tool_runner.service.words import PAUSE_S, Words
from tests.support.tool_runner import FakeCommands, StillClock, model_task, running, settled


class Followers:
    """Whoever follows: everybody's deltas, while `watching`."""

    def __init__(self) -> None:
        self.watching = True
        self.deltas: list[Delta] = []

    def wanted(self, execution_id: str) -> bool:
        return self.watching

    def publish(self, delta: Delta) -> None:
        self.deltas.append(delta)

    @property
    def said(self) -> list[tuple[int, str]]:
        """Offset and text of each delta."""
        return [(delta.offset, delta.text) for delta in self.deltas]


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def followers() -> Followers:
    return Followers()


@pytest.fixture
def words(followers: Followers, clock: StillClock) -> Words:
    return Words(model_task(), followers, clock.sleep)


async def test_the_first_words_go_at_once_and_the_rest_is_gathered(
    words: Words, followers: Followers, clock: StillClock
) -> None:
    for text in ("Order ", "7 ", "is "):
        words.take(text)
    assert followers.said == [(0, "Order ")]
    await clock.pass_by(PAUSE_S)
    assert followers.said == [(0, "Order "), (6, "7 is ")]
    words.take("on ")
    words.take("its way.")
    words.close()
    assert followers.said[2:] == [(11, "on its way.")]
    assert {(delta.execution_id, delta.turn, delta.attempt) for delta in followers.deltas} == {("exec-1", 1, 1)}


async def test_words_after_a_silence_go_at_once(words: Words, followers: Followers, clock: StillClock) -> None:
    words.take("One")
    await clock.pass_by(1)
    words.take("Two")
    assert followers.said == [(0, "One"), (3, "Two")]
    words.close()


async def test_a_thousand_words_in_a_moment_are_a_few_deltas(
    words: Words, followers: Followers, clock: StillClock
) -> None:
    for _ in range(10):
        for _ in range(100):
            words.take("word ")
        await clock.pass_by(PAUSE_S)
    words.close()
    assert len(followers.deltas) <= 11
    assert "".join(delta.text for delta in followers.deltas) == "word " * 1000


async def test_while_nobody_follows_words_are_counted_alone(
    words: Words, followers: Followers, clock: StillClock
) -> None:
    followers.watching = False
    words.take("Nobody hears this. ")
    before = len(asyncio.all_tasks())
    words.take("Nor this. ")
    assert len(asyncio.all_tasks()) == before == 1
    followers.watching = True
    words.take("But this.")
    words.close()
    assert followers.said == [(29, "But this.")]


async def test_who_leaves_and_comes_back_finds_the_right_place(
    words: Words, followers: Followers, clock: StillClock
) -> None:
    words.take("One ")
    words.take("two ")
    followers.watching = False
    words.take("three ")
    await clock.pass_by(PAUSE_S)
    followers.watching = True
    words.take("four")
    words.close()
    assert followers.said == [(0, "One "), (14, "four")]


async def test_a_character_cut_in_two_waits_for_its_other_half(
    words: Words, followers: Followers, clock: StillClock
) -> None:
    words.take("a\ud83d")
    words.take("\ude00b")
    words.take("\ud83d")
    words.close()
    assert "".join(delta.text for delta in followers.deltas) == "a\U0001f600b\ufffd"
    assert followers.said[1][0] == 1


async def test_without_words_nothing_is_sent(words: Words, followers: Followers) -> None:
    words.take("")
    assert len(asyncio.all_tasks()) == 1
    words.close()
    assert followers.deltas == []


class Speaker:
    """A model that says what it says before it answers."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self._then = then
        self.asked: list[ModelRequest] = []

    def check(self, definition: AgentDefinition) -> str | None:
        return None

    async def reply(self, request: ModelRequest) -> ModelResponse:
        self.asked.append(request)
        if request.on_text is not None:
            request.on_text("Hel")
            request.on_text("lo")
        await self._then()
        return ModelResponse(model="one", text="Hello")

    async def aclose(self) -> None:
        pass


def lane(speaker: Speaker, commands: FakeCommands, clock: StillClock, deltas: Followers | None) -> ModelLane:
    async def definition_of(agent: str, version: str) -> AgentDefinition:
        return AgentDefinition(name="shop", model="fake/one")

    return ModelLane(
        worker="models@gateway",
        providers=Providers({"fake": lambda: speaker}),
        commands=commands,
        definition_of=definition_of,
        now=clock.now,
        sleep=clock.sleep,
        chance=lambda: 1.0,
        limit=4,
        deltas=deltas,
    )


async def test_all_words_are_on_their_way_before_the_reply_is(followers: Followers, clock: StillClock) -> None:
    commands = FakeCommands()
    commands.open.clear()

    async def at_once() -> None:
        pass

    one = lane(Speaker(at_once), commands, clock, followers)
    async with running(one):
        one.opened(task := model_task(), encode(task))
        await settled()
        assert followers.said == [(0, "Hel"), (3, "lo")]
        commands.open.set()
        await settled()


async def test_a_call_that_is_not_wanted_any_more_leaves_nothing_behind(
    followers: Followers, clock: StillClock
) -> None:
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    one = lane(Speaker(wait), FakeCommands(), clock, followers)
    async with running(one):
        before = len(asyncio.all_tasks())
        one.opened(task := model_task(), encode(task))
        await settled()
        assert len(asyncio.all_tasks()) == before + 2
        one.closed(model_task().task_key)
        await settled()
        assert len(asyncio.all_tasks()) == before


async def test_where_words_cannot_be_followed_providers_are_not_asked_for_them(clock: StillClock) -> None:
    async def at_once() -> None:
        pass

    speaker = Speaker(at_once)
    one = lane(speaker, FakeCommands(), clock, None)
    async with running(one):
        one.opened(task := model_task(), encode(task))
        await settled()
    assert [request.on_text for request in speaker.asked] == [None]
