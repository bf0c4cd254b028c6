"""Where a test failed is in the test: pytest leaves out the frames of the kit's own modules that say so.

A module says so with `__tracebackhide__ = of_the_test(SomeError)`. What else goes wrong is shown whole.
"""

from collections.abc import Callable
from typing import Any


def of_the_test(error: type[BaseException]) -> Callable[[Any], bool]:
    """Asked by pytest with what it knows of the failure: whether the module's frames tell an author nothing."""
    return lambda failure: isinstance(failure.value, error)
