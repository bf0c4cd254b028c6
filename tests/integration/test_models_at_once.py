"""The first calls of a model come at once: they share one client, as nobody would close another one's connections."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from agentspan_tool_runner.models import ModelSettings, _anthropic_client, _openai_client
from agentspan_tool_runner.models.anthropic import Anthropic
from agentspan_tool_runner.models.openai import OpenAI

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOGETHER_S = 0.5


@pytest.mark.parametrize(("provider", "official"), [(OpenAI, _openai_client), (Anthropic, _anthropic_client)])
async def test_calls_that_come_at_once_share_one_client(
    provider: Any, official: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, made = threading.Barrier(2), list[object]()
    real = official.Client

    def make(*args: Any, **given: Any) -> object:
        with suppress(threading.BrokenBarrierError):
            both.wait(TOGETHER_S)  # a second one that is made would be made now
        made.append(real(*args, **given))
        return made[-1]

    monkeypatch.setattr(official, "Client", make)
    model = provider(ModelSettings({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, now=lambda: NOW))
    clients = await asyncio.gather(*[asyncio.to_thread(model._connect) for _ in range(2)])
    await model.aclose()
    assert made == [clients[0]]
    assert clients[0] is clients[1]
