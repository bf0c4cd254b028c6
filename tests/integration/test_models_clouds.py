"""Claude on Bedrock and on Vertex AI through the official clients, against servers that speak their wire formats."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from agentspan_schemas.agents import AgentDefinition
from agentspan_schemas.messages import UserMessage
from agentspan_tool_runner.models import ModelError, ModelRequest, ModelSettings
from agentspan_tool_runner.models import bedrock as bedrock_module
from agentspan_tool_runner.models import vertex as vertex_module
from agentspan_tool_runner.models.bedrock import Bedrock
from agentspan_tool_runner.models.vertex import Vertex
from tests.support.cloud_servers import BEDROCK_KEY, VERTEX_TOKEN, BedrockServer, VertexServer
from tests.support.messages_server import Events, Fault, Reply, text, tool_use

ON_BEDROCK = AgentDefinition(name="triage", model="bedrock/eu.anthropic.claude-sonnet-4-6-v1:0", max_tokens=512)
ON_VERTEX = AgentDefinition(name="triage", model="vertex/claude-sonnet-4-6", max_tokens=512)
WARM_ON_VERTEX = ON_VERTEX.model_copy(update={"temperature": 0.5})


def settings(environment: dict[str, str]) -> ModelSettings:
    return ModelSettings(environment, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))


def request(definition: AgentDefinition, heard: list[str] | None = None) -> ModelRequest:
    on_text = None if heard is None else heard.append
    messages = (UserMessage(text="Where is order 7?"),)
    return ModelRequest(definition, messages, {}, "exec-1", 1, on_text=on_text)


@pytest.fixture
async def bedrock_server() -> AsyncIterator[BedrockServer]:
    async with BedrockServer() as server:
        yield server


@pytest.fixture
async def vertex_server() -> AsyncIterator[VertexServer]:
    async with VertexServer() as server:
        yield server


@pytest.fixture
def on_bedrock(bedrock_server: BedrockServer) -> dict[str, str]:
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_BEARER_TOKEN_BEDROCK": BEDROCK_KEY,
        "ANTHROPIC_BEDROCK_BASE_URL": bedrock_server.base_url,
    }


@pytest.mark.parametrize("stream", ["on", "off"])
@pytest.mark.parametrize("keys", [{}, {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "s3cret"}])
async def test_bedrock_answers_for_a_key_and_for_a_signature(
    bedrock_server: BedrockServer, on_bedrock: dict[str, str], stream: str, keys: dict[str, str]
) -> None:
    if keys:
        del on_bedrock["AWS_BEARER_TOKEN_BEDROCK"]
    model = Bedrock(settings({**on_bedrock, **keys, "BEDROCK_STREAM": stream}))
    asks = [text("Looking."), tool_use("toolu_1", "look_up", {"n": 7})]
    bedrock_server.script(Reply(asks, "tool_use"))
    heard: list[str] = []
    reply = await model.reply(request(ON_BEDROCK, heard))
    assert (reply.text, reply.tool_calls[0].args) == ("Looking.", {"n": 7})
    assert bedrock_server.requests[0]["model"] == "eu.anthropic.claude-sonnet-4-6-v1:0"
    assert "".join(heard) == ("Looking." if stream == "on" else "")
    await model.aclose()


@pytest.mark.parametrize(
    ("exception", "kind"), [("throttlingException", "rate_limit"), ("modelStreamErrorException", "api_error")]
)
async def test_an_exception_in_bedrocks_stream_may_be_asked_for_again(
    bedrock_server: BedrockServer, on_bedrock: dict[str, str], exception: str, kind: str
) -> None:
    model = Bedrock(settings(on_bedrock))
    bedrock_server.script(Events([{"type": "error", "error": {"type": exception, "message": "Too many tokens"}}]))
    with pytest.raises(ModelError, match="Too many tokens") as caught:
        await model.reply(request(ON_BEDROCK))
    assert (caught.value.kind, caught.value.retryable) == (kind, True)
    await model.aclose()


@pytest.mark.parametrize("after", [1, 5])
async def test_bedrocks_stream_that_ends_in_the_middle_is_no_reply(
    bedrock_server: BedrockServer, on_bedrock: dict[str, str], after: int
) -> None:
    model = Bedrock(settings(on_bedrock))
    bedrock_server.script(Reply([text("Order 7 is on its way.")], cut_after=after))
    with pytest.raises(ModelError) as caught:
        await model.reply(request(ON_BEDROCK))
    assert (caught.value.kind, caught.value.retryable) == ("connection", True)
    await model.aclose()


async def test_credentials_that_bedrock_refuses_name_the_settings(
    bedrock_server: BedrockServer, on_bedrock: dict[str, str]
) -> None:
    model = Bedrock(settings({**on_bedrock, "AWS_BEARER_TOKEN_BEDROCK": "of-somebody-else"}))
    with pytest.raises(ModelError, match="AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID") as caught:
        await model.reply(request(ON_BEDROCK))
    assert (caught.value.kind, caught.value.retryable) == ("permission", False)
    assert "of-somebody-else" not in caught.value.message
    await model.aclose()


async def test_without_credentials_for_bedrock_nothing_is_sent(
    bedrock_server: BedrockServer, on_bedrock: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    del on_bedrock["AWS_BEARER_TOKEN_BEDROCK"]
    model = Bedrock(settings(on_bedrock))
    with pytest.raises(
        ModelError, match=r"no credentials for Amazon Bedrock .*: set AWS_BEARER_TOKEN_BEDROCK"
    ) as caught:
        await model.reply(request(ON_BEDROCK))
    assert (caught.value.kind, caught.value.retryable) == ("missing_key", False)
    assert not bedrock_server.requests
    await model.aclose()


@pytest.fixture
async def on_vertex(
    vertex_server: VertexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, str]]:
    """A service account whose tokens come from a server on loopback."""

    async def token(asked: web.Request) -> web.Response:
        return web.json_response({"access_token": VERTEX_TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    app = web.Application()
    app.router.add_post("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    file = tmp_path / "account.json"
    file.write_text(json.dumps(_account(f"http://{host}:{port}/token")), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    yield {
        "CLOUD_ML_REGION": "europe-west1",
        "ANTHROPIC_VERTEX_PROJECT_ID": "shop",
        "ANTHROPIC_VERTEX_BASE_URL": f"{vertex_server.base_url}/v1",
    }
    await runner.cleanup()


def _account(token_uri: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "agents@shop.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }


@pytest.mark.parametrize("stream", ["on", "off"])
async def test_vertex_answers_for_a_service_account(
    vertex_server: VertexServer, on_vertex: dict[str, str], stream: str
) -> None:
    model = Vertex(settings({**on_vertex, "VERTEX_STREAM": stream}))
    vertex_server.script(
        Reply([text("On its way.")]), Reply([text("Hi")]), Fault(429, "slow down", {"retry-after": "3"})
    )
    heard: list[str] = []
    reply = await model.reply(request(ON_VERTEX, heard))
    assert (reply.text, reply.model) == ("On its way.", "claude-sonnet-4-6")
    assert "".join(heard) == ("On its way." if stream == "on" else "")
    assert (await model.reply(request(WARM_ON_VERTEX))).text == "Hi"
    assert [sent.get("temperature") for sent in vertex_server.requests] == [None, 0.5]
    with pytest.raises(ModelError, match="Vertex AI limits the rate") as caught:
        await model.reply(request(ON_VERTEX))
    assert caught.value.retry_after_s == 3
    await model.aclose()


async def test_without_googles_credentials_nothing_is_sent(
    vertex_server: VertexServer, on_vertex: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    model = Vertex(settings(on_vertex))
    with pytest.raises(ModelError, match="set GOOGLE_APPLICATION_CREDENTIALS on the server") as caught:
        await model.reply(request(ON_VERTEX))
    assert caught.value.kind == "missing_key"
    assert not vertex_server.requests
    await model.aclose()


def test_what_a_cloud_lacks_is_told_before_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs a region: set AWS_REGION on the server" in str(Bedrock(settings({})).check(ON_BEDROCK))
    assert Bedrock(settings({"AWS_DEFAULT_REGION": "eu-west-1"})).check(ON_BEDROCK) is None
    region = {"CLOUD_ML_REGION": "global"}
    assert "needs a region: set CLOUD_ML_REGION on the server" in str(Vertex(settings({})).check(ON_VERTEX))
    assert "needs a project: set ANTHROPIC_VERTEX_PROJECT_ID" in str(Vertex(settings(region)).check(ON_VERTEX))
    monkeypatch.setattr(bedrock_module, "find_spec", lambda name: None)
    monkeypatch.setattr(vertex_module, "find_spec", lambda name: None)
    assert "needs boto3 on the server: pip install 'agentspan[bedrock]'" in str(Bedrock(settings({})).check(ON_BEDROCK))
    assert "pip install 'agentspan[vertex]'" in str(Vertex(settings(region)).check(ON_VERTEX))
