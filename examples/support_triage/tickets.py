"""A few tickets with what a reviewer decides about each, and what they must leave behind: for demos and tests.

The model's turns for each are recorded in `recordings/<ticket id>.json`, so that no model API is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RECORDINGS = Path(__file__).parent / "recordings"
"""What the server's AGENTSPAN_REPLAY_DIR names to play them."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A reviewer's decision about a ticket's next gated call."""

    tool: str
    decision: Literal["approve", "reject"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What came in, what reviewers decide in turn, and the kinds of effects that it must leave, each once."""

    id: str
    email: str
    message: str
    decisions: tuple[Decided, ...]
    effects: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """What the agent is asked, as `handle_ticket` asks it."""
        return f"\nTicket ID: {self.id}\nCustomer email: {self.email}\nMessage: {self.message}\n"


_APPROVED_REFUND = Decided("issue_refund", "approve")

TICKETS = (
    Ticket("T-1001", "billing@acme.com", "How do I export my data?", (), ("reply",)),
    Ticket(
        "T-1002",
        "billing@acme.com",
        "I was charged twice this month, please refund",
        (_APPROVED_REFUND,),
        ("refund", "reply"),
    ),
    Ticket(
        "T-1003",
        "ops@globex.com",
        "Your outage cost us a day. I want the whole month back, 499 dollars.",
        (
            Decided("issue_refund", "reject", "Amount too large, escalate to finance"),
            Decided("apply_credit", "approve"),
        ),
        ("credit", "reply"),
    ),
    Ticket(
        "T-1004",
        "jo@initech.com",
        "My laptop was stolen and somebody is logged in as me. Lock my account now!",
        (Decided("suspend_account", "approve", "caller verified by phone"),),
        ("suspension", "reply"),
    ),
    Ticket("T-1005", "ops@globex.com", "Exports larger than 2 GB still time out", (), ("reply",)),
    Ticket(
        "T-1006",
        "jo@initech.com",
        "I cancelled the add-on and still paid 19 dollars for it",
        (_APPROVED_REFUND,),
        ("refund", "reply"),
    ),
)
