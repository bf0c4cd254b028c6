"""Which model calls a lane makes, beside others: the rules, without calls, clock or network."""

from datetime import datetime, timedelta

from agentspan_schemas.tasks import MODEL_LANE, WorkerSession
from agentspan_tool_runner.domain.lanes import ORPHANED_FOR, PATIENCE, LaneRules
from agentspan_tool_runner.domain.peers import LOOK_AGAIN, Peers
from agentspan_tool_runner.domain.rendezvous import SETTLE, ranking
from tests.support.tool_runner import START

LEASE = timedelta(seconds=10)
MODEL = "vendor/large"
US, OTHER = "models@a", "models@b"
KEYS = [f"exec-{number}/model-1/1" for number in range(40)]
OURS = [key for key in KEYS if ranking(key, {US, OTHER})[0] == US]
THEIRS = [key for key in KEYS if key not in OURS]


class Rules(LaneRules):
    """The rules, told of the others as the announcer does."""

    def __init__(self, *others: WorkerSession, stands: bool = True) -> None:
        self.peers = Peers(LEASE)
        super().__init__(US, self.peers)
        if stands:
            self.stands(START)
        for other in others:
            self.announced(other)

    def announced(self, session: WorkerSession, at: datetime = START) -> None:
        self.reconsider(self.peers.heard(session, at), at)

    def gone(self, at: datetime = START) -> None:
        self.reconsider(self.peers.gone(OTHER), at)

    def look_again(self, at: datetime) -> None:
        self.reconsider(self.peers.expire(at), at)
        self.reconsider(LOOK_AGAIN, at)

    def opened(self, keys: list[str] = KEYS, model: str | None = MODEL) -> list[str]:
        for key in keys:
            self.open(key, model, START)
        return self.begun()

    def begun(self) -> list[str]:
        return list(iter(self.begin, None))


def other(*holds: str, lacks: tuple[str, ...] = (), lanes: tuple[str, ...] = (MODEL_LANE,)) -> WorkerSession:
    return WorkerSession(
        session_id=OTHER, gateway_id="b", worker=OTHER, tools={}, holds=holds, lanes=lanes, lacks=lacks, at=START
    )


def test_a_lane_alone_makes_every_call_at_once() -> None:
    assert Rules(stands=False).opened() == KEYS
    assert Rules(stands=False).opened(model=None) == KEYS


def test_two_lanes_share_the_calls() -> None:
    assert Rules(other()).opened() == OURS
    assert len(OURS) in range(10, 30)


def test_what_another_lane_has_in_hand_is_left_alone_also_when_it_was_queued_here() -> None:
    rules = Rules()
    for key in KEYS:
        rules.open(key, MODEL, START)
    rules.announced(other(*KEYS[:5]))
    assert rules.begun() == KEYS[5:]


def test_a_lane_that_the_others_cannot_see_yet_begins_nothing_and_then_waits_a_moment() -> None:
    rules = Rules(other(), stands=False)
    assert rules.opened() == []
    rules.stands(START)
    assert rules.begun() == []
    rules.announced(other(*OURS[1:]))
    rules.look_again(START + SETTLE)
    assert rules.begun() == OURS[:1]


def test_a_call_that_is_not_begun_by_its_lane_is_begun_by_the_next_after_a_lease() -> None:
    rules = Rules(other())
    rules.opened()
    rules.announced(other(), START + LEASE)
    rules.look_again(START + LEASE)
    assert rules.begun() == THEIRS


def test_when_the_other_lane_says_good_bye_its_calls_are_made_here_at_once() -> None:
    rules = Rules(other(*THEIRS[:3]))
    rules.opened()
    rules.gone()
    assert sorted(rules.begun()) == sorted(THEIRS)


def test_what_a_dead_lane_held_waits_for_the_owners_word_and_the_rest_does_not() -> None:
    rules = Rules(other(*THEIRS[:3]))
    rules.opened()
    dead = START + LEASE
    rules.look_again(dead)
    assert rules.begun() == THEIRS[3:]
    rules.look_again(dead + LEASE * ORPHANED_FOR - timedelta(seconds=1))
    assert rules.begun() == []
    rules.open("exec-1/model-1/2", MODEL, dead)
    assert rules.begun() == ["exec-1/model-1/2"]
    rules.look_again(dead + LEASE * ORPHANED_FOR)  # no word came: nobody knew that it was held
    assert rules.begun() == THEIRS[:3]


def test_a_lane_without_the_key_leaves_the_call_to_one_that_has_it() -> None:
    poor = Rules(other())
    poor.lacks[MODEL] = None
    assert poor.opened() == []
    poor.look_again(START + LEASE - timedelta(seconds=1))
    assert poor.begun() == []
    assert Rules(other(lacks=(MODEL,))).opened() == KEYS


def test_when_the_other_lane_says_that_it_lacks_the_key_its_calls_are_made_here_at_once() -> None:
    rules = Rules(other())
    rules.opened()
    rules.announced(other(lacks=(MODEL,)))
    assert rules.begun() == THEIRS


def test_a_call_that_no_lane_can_serve_fails_only_after_one_that_can_had_time_to_come_back() -> None:
    rules = Rules(other())
    rules.lacks[MODEL] = None
    rules.opened()
    rules.gone()
    assert rules.begun() == []
    rules.look_again(START + LEASE * PATIENCE)
    assert sorted(rules.begun()) == sorted(KEYS)


def test_a_lane_that_was_always_alone_makes_also_the_call_that_it_lacks_the_key_for() -> None:
    rules = Rules(stands=False)
    rules.lacks[MODEL] = None
    assert rules.opened() == KEYS


def test_a_retired_lane_begins_nothing_and_keeps_what_it_has_in_hand() -> None:
    rules = Rules()
    for key in KEYS:
        rules.open(key, MODEL, START)
    assert rules.begin() == KEYS[0]
    rules.retired = True
    assert rules.begin() is None
    assert list(rules.hand) == KEYS[:1]
    rules.done(KEYS[0])
    assert not rules.hand


def test_a_retired_lane_elsewhere_takes_nothing_more() -> None:
    rules = Rules(other(THEIRS[0], lanes=()))
    assert rules.opened() == [key for key in KEYS if key != THEIRS[0]]


def test_a_closed_call_is_not_begun() -> None:
    rules = Rules()
    rules.open(KEYS[0], MODEL, START)
    rules.close(KEYS[0])
    rules.close("never heard of")
    assert rules.begun() == []
