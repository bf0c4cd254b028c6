"""What a tool is made of: its description, its options, what its parameters and its results become; and an agent of
them."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from agentspan.agents import Agent, ConfigurationError, Tool, ToolContext, tool
from agentspan.agents._serialise import Raised, Returned, serialise
from agentspan_schemas import MAX_RESULT_BYTES
from tests.unit.called_tools import run


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    count: int = 1


class Address(TypedDict):
    street: str


@dataclass
class Point:
    x: int
    y: int = 0


def schema_of(made: Tool[..., Any]) -> dict[str, Any]:
    return made.definition.input_schema


def test_a_bare_tool_takes_its_name_description_and_schema_from_the_function() -> None:
    @tool
    def find(email: str, limit: int = 10) -> list[str]:
        """Find customers.

        Only active ones.

        Args:
            email: Whom to look for,
                in lower case.
            limit (int): How many at most.

        Returns:
            Their ids.
        """
        return [email] * limit

    definition = find.definition
    assert definition.name == "find"
    assert definition.description == "Find customers.\n\nOnly active ones.\n\nReturns:\n    Their ids."
    assert definition.input_schema == {
        "type": "object",
        "properties": {
            "email": {"type": "string", "description": "Whom to look for, in lower case."},
            "limit": {"type": "integer", "default": 10, "description": "How many at most."},
        },
        "required": ["email"],
        "additionalProperties": False,
    }
    assert (definition.approval_required, definition.effects) == (False, "idempotent")
    assert find("a", 2) == ["a", "a"]
    assert find.__name__ == "find"


def test_options_and_their_defaults() -> None:
    @tool(approval_required=True, approval_expires_s=60, timeout_s=5, name="pay-back")
    def pay(amount: float) -> None:
        """Pay."""

    definition = pay.definition
    assert definition.effects == "once"
    assert (definition.name, definition.timeout_s, definition.approval_expires_s) == ("pay-back", 5, 60)

    @tool(approval_required=True, effects="idempotent", retries=3)
    def pay_safely(amount: float) -> None:
        """Pay."""

    assert (pay_safely.definition.effects, pay_safely.definition.retries) == ("idempotent", 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"effects": "once", "retries": 1}, "never re-run blindly"),
        ({"approval_expires_s": 5}, "needs approval_required=True"),
        ({"timeout_s": 0}, "timeout_s: Input should be greater than 0"),
        ({"name": "no spaces"}, "name: String should match pattern"),
        ({"effects": "twice"}, "effects"),
        ({"approval_required": lambda args: True}, "approval_required is True or False; .* by a policy"),
        ({"concurrency": "2"}, "concurrency='2' runs none; it is a number, at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused_when_the_tool_is_made(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        tool(**options)(lambda: None) if "name" in options else tool(name="t", **options)(lambda: None)


def test_a_tool_is_not_made_a_tool_again_without_its_options() -> None:
    @tool(approval_required=True)
    def pay() -> None:
        """Pay."""

    for again in (tool, tool(timeout_s=5)):
        with pytest.raises(ConfigurationError, match=r"<tool 'pay'> is a tool already, .* of pay\.function"):
            again(pay)
    assert tool(name="free")(pay.function).definition.approval_required is False


def test_an_option_given_by_position_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="keyword options only"):
        tool("name")  # type: ignore[call-overload]


def test_rich_parameters_have_a_schema_and_arrive_as_what_they_are_annotated() -> None:
    got: dict[str, Any] = {}

    @tool
    def rich(
        item: Item,
        point: Point,
        address: Address,
        colour: Colour,
        when: datetime,
        price: Decimal,
        tags: set[str],
        either: int | str,
        schema: Literal["a", "b"] = "a",
        ratio: Annotated[float, Field(gt=0, description="Above zero.")] = 1.0,
        *,
        _note: str | None = None,
    ) -> None:
        """Take many things."""
        got.update(locals())

    properties = schema_of(rich)["properties"]
    assert set(properties) >= {"item", "schema", "_note"}
    assert properties["ratio"]["exclusiveMinimum"] == 0
    assert properties["ratio"]["description"] == "Above zero."
    outcome = run(
        rich,
        {
            "item": {"sku": "s"},
            "point": {"x": 1},
            "address": {"street": "High"},
            "colour": "blue",
            "when": "2026-01-02T03:04:05Z",
            "price": "1.10",
            "tags": ["a", "a"],
            "either": "7",
            "_note": "n",
        },
    )
    assert isinstance(outcome, Returned), outcome
    assert got["item"] == Item(sku="s")
    assert got["point"] == Point(1)
    assert (got["colour"], got["tags"], got["either"]) == (Colour.BLUE, {"a"}, "7")
    assert got["when"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (got["price"], got["schema"], got["_note"]) == (Decimal("1.10"), "a", "n")


def test_a_positional_only_parameter_and_a_context_anywhere() -> None:
    @tool
    def odd(a: int, /, context: ToolContext | None, b: int = 2) -> list[Any]:
        """Odd."""
        return [a, b, context.call_id if context else None]

    assert set(schema_of(odd)["properties"]) == {"a", "b"}
    outcome = run(odd, {"a": "1"})
    assert isinstance(outcome, Returned)
    assert outcome.value == [1, 2, "1-0"]


def test_parameters_that_cannot_be_described_are_refused_with_their_names() -> None:
    @tool
    def variadic(*rest: int) -> None:
        """Take what comes."""

    @tool
    def opaque(lock: threading.Thread) -> None:
        """Take a thread."""

    with pytest.raises(ConfigurationError, match=r"tool 'variadic': '\*rest: int' can't be described"):
        Agent("a", "p/m", tools=[variadic])
    with pytest.raises(ConfigurationError, match="tool 'opaque': a parameter has no JSON Schema") as error:
        Agent("a", "p/m", tools=[opaque])
    assert "lock: threading.Thread; annotate it with what JSON can hold" in str(error.value)


class Desk:
    @tool
    def unbound(self, email: str) -> None:
        """Find a customer."""

    def bound(self, email: str) -> None:
        """Find a customer."""

    def __call__(self, email: str) -> None:
        """Find a customer."""


def test_a_method_is_a_tool_once_it_is_bound() -> None:
    assert set(schema_of(tool(Desk().bound))["properties"]) == {"email"}
    with pytest.raises(ConfigurationError, match=r"tool 'unbound': 'self' would be .* as in tool\(instance.unbound\)"):
        Agent("a", "p/m", tools=[Desk.unbound])


@pytest.mark.parametrize("function", [Desk(), partial(Desk().bound, "a@b")], ids=["an object", "a partial"])
def test_what_is_called_and_is_no_function_is_refused_with_what_to_write(function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"has no name for the model to call: write a function with def"):
        tool(function)
    with pytest.raises(ConfigurationError, match=r"tool 'find': .* is no function, and has no annotations; wrap it"):
        Agent("a", "p/m", tools=[tool(name="find")(function)])


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"<lambda>.* has no name for the model to call"):
        tool(lambda: None)
    assert tool(name="nothing")(lambda: None).name == "nothing"


def test_an_annotation_that_is_defined_further_down() -> None:
    @tool
    def later(value: "Later") -> str:
        """Use a later class."""
        return value.text

    assert "$ref" in schema_of(later)["properties"]["value"]

    @tool
    def never(value: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        """Use no class."""

    with pytest.raises(ConfigurationError, match="names 'Nowhere', which is not defined"):
        _ = never.definition


class Later(BaseModel):
    text: str


def test_an_agent_is_a_definition() -> None:
    @tool
    def find(email: str) -> None:
        """Find."""

    agent = Agent("a", "p/m", "Be kind.", [find], Item, max_turns=3, max_tokens=99)
    definition = agent.definition
    assert (definition.max_turns, definition.max_tokens, definition.instructions) == (3, 99, "Be kind.")
    assert definition.output_schema is not None
    assert definition.output_schema["required"] == ["sku"]
    assert agent.tool_hashes == {"find": find.definition.input_schema_hash}
    for kind in (Point, Address):
        assert Agent("a", "p/m", output_type=kind).definition.output_schema is not None
    assert Agent("a", "p/m").definition.output_schema is None


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Agent("a", "p/m", temprature=1), TypeError, "no option 'temprature'; did you mean 'temperature'?"),  # type: ignore[call-arg]
        (lambda: Agent("a", "p/m", tool=[]), TypeError, "no option 'tool'; did you mean 'tools'?"),  # type: ignore[call-arg]
        (lambda: Agent("a", "gpt"), ConfigurationError, "agent 'a': model 'gpt' names no provider"),
        (lambda: Agent("a b", "p/m"), ConfigurationError, "agent 'a b': a name has no spaces; write 'a_b'"),
        (lambda: Agent("a&b", "p/m"), ConfigurationError, "agent 'a&b': name"),
        (lambda: Agent("a", "p/m", tools=[print]), ConfigurationError, "is no tool; decorate"),  # type: ignore[list-item]
        (lambda: Agent("a", "p/m", tools=tool(len)), ConfigurationError, "tools=<tool 'len'> is no list; write tools="),  # type: ignore[arg-type]
        (lambda: Agent("a", "p/m", tools=None), ConfigurationError, "agent 'a': tools=None is no list"),  # type: ignore[arg-type]
        (
            lambda: Agent("a", "p/m", output_type=threading.Thread),
            ConfigurationError,
            "(Unable to generate pydantic-core schema for <class 'threading.Thread'>); use a pydantic model",
        ),
        (lambda: Agent("a", "p/m", max_turns=0), ConfigurationError, "max_turns"),
    ],
)
def test_an_agent_that_cannot_work_is_refused(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        make()


def test_two_tools_of_one_name_are_refused() -> None:
    @tool
    def find() -> None:
        """Find."""

    with pytest.raises(ConfigurationError) as error:
        Agent("a", "p/m", tools=[find, find])
    assert str(error.value) == "agent 'a': tools: two tools named 'find'; rename one"


class Cursor:
    """What a database gives: iterable, and nothing else."""

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])


class Row:
    """What sqlite3 gives: keys and items."""

    def keys(self) -> list[str]:
        return ["a"]

    def __getitem__(self, key: str) -> int:
        return 1


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (None, None),
        ((n for n in (1, 2)), [1, 2]),
        (Cursor(), [1, 2]),
        ({"rows": Cursor()}, {"rows": [1, 2]}),
        ([Row(), Item(sku="s"), Point(1)], [{"a": 1}, {"sku": "s", "count": 1}, {"x": 1, "y": 0}]),
        ({"c": Colour.RED, "d": Decimal("1.50")}, {"c": "red", "d": "1.50"}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({1: {2}}, {"1": [2]}),
    ],
)
def test_results_become_json(result: Any, value: Any) -> None:
    returned = serialise("t", result)
    assert isinstance(returned, Returned), returned
    assert returned.value == value


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (object(), "returned a value of type object that has no JSON form (builtins.object"),
        ({"x": float("nan")}, "no JSON form (NaN and Infinity are no JSON, nor is what is too deep);"),
        ("\ud800", "no JSON form"),
        ({"x": threading.Lock()}, "returned a value of type dict that has no JSON form (_thread.lock"),
    ],
)
def test_a_result_without_a_json_form_names_its_type(result: Any, says: str) -> None:
    raised = serialise("t", result)
    assert isinstance(raised, Raised)
    assert raised.error.kind == "unserialisable_result"
    assert says in raised.error.message


def test_a_result_that_is_too_large_names_both_sizes() -> None:
    raised = serialise("t", "x" * MAX_RESULT_BYTES)
    assert isinstance(raised, Raised)
    assert f"returned {MAX_RESULT_BYTES + 2} bytes" in raised.error.message
    assert f"at most {MAX_RESULT_BYTES}" in raised.error.message
    assert isinstance(serialise("t", "x" * (MAX_RESULT_BYTES - 2)), Returned)
