"""`bedrock/<model>`: Claude on Amazon Bedrock, through the official client.

The credentials are those of AWS: a Bedrock key, access keys, a profile, or the machine's own role.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from agentspan_schemas.agents import AgentDefinition
from agentspan_tool_runner.models._failures import Api
from agentspan_tool_runner.models._keys import missing
from agentspan_tool_runner.models.anthropic import MessagesProvider
from agentspan_tool_runner.models.ports import ModelSettings

if TYPE_CHECKING:
    from agentspan_tool_runner.models._anthropic_client import Client

KEY = "AWS_BEARER_TOKEN_BEDROCK"
REGION = "AWS_REGION"
BASE_URL = "ANTHROPIC_BEDROCK_BASE_URL"


class Bedrock(MessagesProvider):
    """The provider."""

    api = Api(
        "Amazon Bedrock",
        f"{KEY}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        BASE_URL,
        "BEDROCK_STREAM",
    )
    earlier = {"anthropic_version": "bedrock-2023-05-31"}

    def _asks_earlier(self, definition: AgentDefinition) -> bool:
        return True  # the only version that all models there know

    def _ready(self, definition: AgentDefinition) -> str:
        if find_spec("boto3") is None:
            raise missing(f"model {definition.model!r} needs boto3 on the server: pip install 'agentspan[bedrock]'")
        if not self._region():
            raise missing(
                f"model {definition.model!r} of agent {definition.name!r} needs a region: "
                f"set {REGION} on the server and start it again"
            )
        return self._environment.get(KEY, "").strip()

    def _client(self) -> "Client":
        from botocore.exceptions import BotoCoreError

        from agentspan_tool_runner.models._anthropic_client import Client, bedrock

        official = bedrock(self._environment, self._region(), self._timeout_s)
        return Client(official, self.api, self._now, (BotoCoreError, RuntimeError))

    def _region(self) -> str:
        return self._environment.get(REGION) or self._environment.get("AWS_DEFAULT_REGION", "")


def provider(settings: ModelSettings) -> Bedrock:
    """The entry point."""
    return Bedrock(settings)
