"""Why a server can't be started.

StartError
├── SettingsError   a setting that can't be used; the text names it
└── PortTaken       somebody listens there already
"""


class StartError(Exception):
    """The root of this package's errors."""


class SettingsError(StartError):
    """A setting that can't be used, and what to do."""


class PortTaken(StartError):
    """The port can't be listened on."""
