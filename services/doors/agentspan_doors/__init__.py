"""The HTTP conventions that all services share: who calls, what an error looks like, what never gets in.

Not a service: it decides nothing and knows no other part than the contract. Apart so that the doors of every service
say the same thing in the same words (docs/decisions: doors).
"""

from agentspan_doors.app import Application, create_app
from agentspan_doors.bodies import JsonRoute
from agentspan_doors.callers import Caller, CallerOf, CommandKey, command_id
from agentspan_doors.guard import Guard
from agentspan_doors.openapi import PlainDoor
from agentspan_doors.parameters import known_parameters, refuse_unknown
from agentspan_doors.plain import Asked, Plain, Said, body_of, json_of, read, read_once, write_route
from agentspan_doors.problems import DoorError, accepted, not_found, problem_response

__all__ = [
    "Application",
    "Asked",
    "Caller",
    "CallerOf",
    "CommandKey",
    "DoorError",
    "Guard",
    "JsonRoute",
    "Plain",
    "PlainDoor",
    "Said",
    "accepted",
    "body_of",
    "command_id",
    "create_app",
    "json_of",
    "known_parameters",
    "not_found",
    "problem_response",
    "read",
    "read_once",
    "refuse_unknown",
    "write_route",
]
