"""The `agentspan` command: what people do to runs, approvals and a server, without writing a program.

It speaks HTTP like any other client. Only `agentspan server` needs the server's packages, and only when it is called.
"""

from agentspan.cli._main import main

__all__ = ["main"]
