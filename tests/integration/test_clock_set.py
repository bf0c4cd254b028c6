"""Somebody sets the machine's clock while the server runs: who lives is heard of as before, who is gone is missed."""

from datetime import timedelta
from pathlib import Path

import pytest

from agentspan_schemas.http import SessionRequest
from agentspan_standalone import composition
from agentspan_standalone.plumbing import embedded
from agentspan_standalone.settings import Settings
from tests.integration.test_tool_runners_share import room
from tests.support.orchestration import EXECUTION, Clock


@pytest.mark.parametrize("hours", [1, -1, -24])
async def test_whoever_lives_is_lost_by_nobody_whose_clock_is_set(hours: int) -> None:
    """It put each granted call in doubt, and every model call was paid twice."""
    async with room() as here:
        here.model.tools = ("look_up", "charge")
        (await here.runner("a")).serve(reports=False)
        await here.start(EXECUTION)
        await here.logged("tool_started")
        here.wall.set_by = timedelta(hours=hours)
        await here.pass_by(3 * here.world.lease_s)
        assert here.ran_twice() == []
        assert await here.events("in_doubt") == await here.events("retry_scheduled") == []


async def test_whoever_is_lost_is_so_as_soon_when_the_clock_was_set_back() -> None:
    async with room() as here:
        here.model.tools = ("look_up",)
        runner = await here.runner("a")
        runner.serve(reports=False)
        await here.start(EXECUTION)
        await here.until(lambda: here.ran)
        here.wall.set_by = timedelta(hours=-1)
        await runner.crash()
        await here.pass_by(3 * here.world.lease_s)
        assert len(await here.events("retry_scheduled")) == 1


async def test_a_server_counts_leases_by_a_clock_that_nobody_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Clock()
    settings = Settings(data=tmp_path, log="kafka://nowhere:9092", roles=("tool-runner",))
    monkeypatch.setattr(composition, "now", wall.now)
    plumbing = embedded(settings)
    services = composition.Services(settings, plumbing)
    assert services.tool_runner
    gateway = services.tool_runner.gateway
    gateway.hello(SessionRequest(worker="w", tools={"support": {}}))
    wall.advance(3600)
    [session] = gateway.workers_for()
    assert session.at == wall.now()
    assert session.lease_until
    assert timedelta(0) < session.lease_until - session.at <= timedelta(seconds=settings.lease_s)
    services.close()
    await plumbing.close()
