"""A server that is away, told in one line: the worker and the stream of events both notice it, each in its own time,
and whoever is first says so for both. The same when it is back.
"""


class Outage:
    """Of one server. Use it on one event loop."""

    def __init__(self) -> None:
        self._is_told = False

    def begins(self) -> bool:
        """Whether nobody has said so yet: then whoever asks does."""
        is_first, self._is_told = not self._is_told, True
        return is_first

    def ends(self) -> bool:
        """Whether it was told, and nobody has said yet that it is over."""
        was_told, self._is_told = self._is_told, False
        return was_told
