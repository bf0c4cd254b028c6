"""`@tool`: a plain function becomes something an agent can be given, and stays the function that it was."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from pydantic import ValidationError

from agentspan.agents._absent import TOOL_OPTIONS, takes
from agentspan.agents._errors import ConfigurationError
from agentspan.agents._outcome import Reconcile
from agentspan.agents._signature import Signature, read_signature
from agentspan_schemas import Effects, Failure
from agentspan_schemas.agents import ToolDefinition
from agentspan_schemas.errors import describe

P = ParamSpec("P")
R = TypeVar("R")


class Tool(Generic[P, R]):
    """A function that an agent may call. Calling it yourself calls the plain function.

    >>> @tool
    ... def add(a: int, b: int = 1) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> add(2)
    3
    >>> add.definition.input_schema["required"]
    ['a']
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        options: dict[str, Any],
        *,
        concurrency: int | None = None,
        reconcile: Reconcile | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.concurrency = concurrency
        """How many calls of it one worker runs at once; None: as many as it can."""
        self._reconcile = reconcile
        self._options = options
        self.name: str = options["name"]
        _check(self.name, options)
        given: object = concurrency
        if given is not None and (not isinstance(given, int) or given < 1):
            raise ConfigurationError(f"tool {self.name!r}: concurrency={given!r} runs none; it is a number, at least 1")
        if reconcile is not None and options["effects"] != "once":
            raise ConfigurationError(
                f"tool {self.name!r}: reconcile needs effects='once': an idempotent call is simply run again"
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name!r}>"

    @functools.cached_property
    def signature(self) -> Signature:
        """Read when first needed, so that an annotation may name a class that its module defines further down."""
        return read_signature(self.function, self.name)

    @functools.cached_property
    def definition(self) -> ToolDefinition:
        """The tool as the server knows it."""
        signature = self.signature
        return ToolDefinition(description=signature.description, input_schema=signature.input_schema, **self._options)

    @functools.cached_property
    def reconciler(self) -> tuple[Reconcile, Signature] | None:
        """The function that says what became of a call in doubt, and how it is called."""
        if self._reconcile is None:
            return None
        signature = read_signature(self._reconcile, f"{self.name}'s reconcile")
        theirs, ours = set(signature.names.values()), set(self.signature.names.values())
        if theirs != ours:
            raise ConfigurationError(
                f"tool {self.name!r}: reconcile takes {sorted(theirs)}, the tool {sorted(ours)}; "
                "give both the same parameters (and a ToolContext, where one needs it)"
            )
        return self._reconcile, signature

    @property
    def is_async(self) -> bool:
        """Whether it runs on the worker's event loop, instead of in a thread."""
        function = inspect.unwrap(self.function)
        return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    approval_required: bool = False,
    effects: Effects | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    approval_expires_s: float | None = None,
    concurrency: int | None = None,
    reconcile: Reconcile | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


@takes("@tool", TOOL_OPTIONS)
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    approval_required: bool = False,
    effects: Effects | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    approval_expires_s: float | None = None,
    concurrency: int | None = None,
    reconcile: Reconcile | None = None,
) -> Any:
    """Make a function a tool: `@tool`, or `@tool(approval_required=True)`.

    The annotations become the schema that the model sees, the docstring its description (Google's `Args:` describe the
    parameters). Arguments are validated and coerced before the call; the result is serialised, not validated.

    Args:
        name: The name that the model sees; the function's own by default.
        approval_required: Each call waits for a person or a policy before it runs.
        effects: `idempotent` calls are run again, with the same key, when their worker is lost: the default for
            tools without approval. `once` calls are never run again blindly: the default for gated tools.
        timeout_s: How long one attempt may run. An idempotent one ends with an error that the model reads; a `once`
            call that takes longer is in doubt until it answers or somebody resolves it.
        retries: How often an attempt that raised is tried again before the model reads the error; not with `once`.
        approval_expires_s: After how long an undecided call is rejected; by default it waits for ever.
        concurrency: How many calls of it one process runs at once; more wait there, and are not claimed yet.
        reconcile: For `once`: a function of the same parameters that says what became of a call whose worker was lost,
            as a `CallOutcome`; None: it cannot tell, and a person has to. Called by whoever serves the tool.

    >>> @tool(approval_required=True, timeout_s=30)
    ... def refund(customer_id: str, amount_usd: float) -> dict:
    ...     "Pay back."
    ...     return {"paid": amount_usd}
    >>> refund.definition.effects
    'once'

    Raises ConfigurationError for options that contradict each other.
    """

    def decorate(function: Callable[..., Any]) -> Tool[..., Any]:
        if isinstance(function, Tool):
            raise ConfigurationError(
                f"{function!r} is a tool already, and its options would be lost: give one @tool all of them, or make "
                f"another tool of {function.name}.function"
            )
        options = {
            "name": name or _name_of(function),
            "approval_required": approval_required,
            "effects": effects or ("once" if approval_required else "idempotent"),
            "timeout_s": timeout_s,
            "retries": retries,
            "approval_expires_s": approval_expires_s,
        }
        return Tool(function, options, concurrency=concurrency, reconcile=reconcile)

    if function is None:
        return decorate
    if not callable(function):
        raise ConfigurationError(f"@tool takes keyword options only, not {function!r}: @tool(name={function!r})")
    return decorate(function)


def _name_of(function: Callable[..., Any]) -> str:
    name: str = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise ConfigurationError(
            f"{function!r} has no name for the model to call: write a function with def, or give @tool(name=...)"
        )
    return name


def _check(name: str, options: dict[str, Any]) -> None:
    if callable(options["approval_required"]):
        raise ConfigurationError(
            f"tool {name!r}: approval_required is True or False; which of its calls need no person is said by whoever "
            "decides, or by a policy of the server (docs/approvals.md)"
        )
    if options["effects"] == "once" and options["retries"]:
        raise ConfigurationError(
            f"tool {name!r}: retries={options['retries']} needs effects='idempotent': a once call is never "
            "re-run blindly"
        )
    if options["approval_expires_s"] is not None and not options["approval_required"]:
        raise ConfigurationError(f"tool {name!r}: approval_expires_s needs approval_required=True")
    try:
        ToolDefinition(input_schema={}, **options)
    except ValidationError as error:
        raise ConfigurationError(f"tool {name!r}: {describe(error)}") from error


def invalid_args(tool: str, error: ValidationError) -> Failure:
    """What the model reads when the arguments pass the schema and still don't fit the annotations."""
    return Failure(kind="invalid_args", message=f"the arguments of {tool!r} don't fit: {describe(error)}")
