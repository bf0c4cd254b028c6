"""What can keep the demo from running to its end; apart because every module of it raises it.

Errors:

    DemoError           the demo cannot go on; the text says why, and what to do
"""


class DemoError(Exception):
    """The demo cannot go on."""
