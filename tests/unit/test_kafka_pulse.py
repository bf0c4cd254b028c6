"""What is taken for a client that is lost, by a clock of its own: no answer for long enough, and nothing else."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from agentspan.eventlog import _kafka_pulse
from agentspan.eventlog._kafka_pulse import SILENT_S, Pulse


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_kafka_pulse, "time", clock)
    return clock


def answers(within_s: float) -> None:
    """A broker is there."""


def times_out(within_s: float) -> None:
    """None is."""
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def refuses(within_s: float) -> None:
    """One is there, and does not like the question."""
    raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))


def test_nobody_is_asked_before_it_was_silent_for_long(clock: Clock) -> None:
    pulse = Pulse("a client")
    clock.now += SILENT_S - 1
    assert not pulse.lost(times_out)
    pulse.heard()
    clock.now += SILENT_S - 1
    assert not pulse.lost(times_out)
    clock.now += 1
    assert pulse.lost(times_out)


def test_whoever_answers_is_asked_again_only_after_another_silence(clock: Clock) -> None:
    pulse = Pulse("a client")
    clock.now += SILENT_S
    assert not pulse.lost(answers)
    assert not pulse.lost(times_out)
    clock.now += SILENT_S
    assert pulse.lost(times_out)


def test_a_refusal_is_an_answer(clock: Clock) -> None:
    pulse = Pulse("a client")
    clock.now += SILENT_S
    assert not pulse.lost(refuses)


def test_a_patient_one_is_asked_in_vain_for_a_while(clock: Clock) -> None:
    pulse = Pulse("a member", 3 * SILENT_S)
    lost = []
    for _ in range(3):
        clock.now += SILENT_S
        lost.append(pulse.lost(times_out))
    assert lost == [False, False, True]


def test_one_answer_makes_up_for_all_that_was_missed(clock: Clock) -> None:
    pulse = Pulse("a member", 3 * SILENT_S)
    for ask in (times_out, times_out, answers, times_out, times_out):
        clock.now += SILENT_S
        assert not pulse.lost(ask)
