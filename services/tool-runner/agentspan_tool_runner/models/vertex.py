"""`vertex/<model>`: Claude on Google Vertex AI, through the official client.

The credentials are the application default ones of Google's library: a file, or the machine's own account.
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

REGION = "CLOUD_ML_REGION"
PROJECT = "ANTHROPIC_VERTEX_PROJECT_ID"
BASE_URL = "ANTHROPIC_VERTEX_BASE_URL"


class Vertex(MessagesProvider):
    """The provider."""

    api = Api("Vertex AI", "GOOGLE_APPLICATION_CREDENTIALS", BASE_URL, "VERTEX_STREAM")
    earlier = {"anthropic_version": "vertex-2023-10-16"}

    def _ready(self, definition: AgentDefinition) -> str:
        if not _has_google_auth():
            raise missing(
                f"model {definition.model!r} needs google-auth on the server: pip install 'agentspan[vertex]'"
            )
        for setting, what in ((REGION, "a region"), (PROJECT, "a project")):
            if not self._environment.get(setting):
                raise missing(
                    f"model {definition.model!r} of agent {definition.name!r} needs {what}: "
                    f"set {setting} on the server and start it again"
                )
        return ""

    def _client(self) -> "Client":
        from google.auth.exceptions import GoogleAuthError

        from agentspan_tool_runner.models._anthropic_client import Client, vertex

        official = vertex(
            self._environment[REGION], self._environment[PROJECT], self._environment.get(BASE_URL), self._timeout_s
        )
        return Client(official, self.api, self._now, (GoogleAuthError, RuntimeError))


def provider(settings: ModelSettings) -> Vertex:
    """The entry point."""
    return Vertex(settings)


def _has_google_auth() -> bool:
    try:
        return find_spec("google.auth") is not None and find_spec("requests") is not None
    except ModuleNotFoundError:  # no package `google` at all
        return False
