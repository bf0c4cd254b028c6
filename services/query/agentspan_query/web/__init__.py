"""The pages that people read and decide on, server-rendered: the list of executions, and one of them."""

from agentspan_query.web.routes import web_routes

__all__ = ["web_routes"]
