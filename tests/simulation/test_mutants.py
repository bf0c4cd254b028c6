"""Each mutant breaks a law that it names, on a seed where the real code breaks none: the auditor bites."""

import pytest

from tests.simulation.laws import LAWS
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import Report, simulate

MOST_SEEDS = 400


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_breaks_its_law(mutant: Mutant) -> None:
    caught = _first_broken(mutant)
    assert caught.broken is not None
    assert caught.broken.law in mutant.laws, caught.broken
    assert simulate(caught.seed).broken is None


def test_mutants_name_laws_that_exist() -> None:
    assert {name for mutant in MUTANTS for name in mutant.laws} <= LAWS.keys()


def _first_broken(mutant: Mutant) -> Report:
    with mutant.loose():
        reports = (simulate(seed) for seed in range(1, MOST_SEEDS))
        return next(report for report in reports if report.broken is not None)
