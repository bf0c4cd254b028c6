"""Why a server can't be started, or a cluster not be prepared for one.

StartError
├── SettingsError    a setting that can't be used; the text names it
├── PortTaken        somebody listens there already
├── OutOfReach       the cluster does not answer, or does not let this process in
└── ClusterRefused   the cluster answered, and would not
"""


class StartError(Exception):
    """The root of this package's errors."""


class SettingsError(StartError):
    """A setting that can't be used, and what to do."""


class PortTaken(StartError):
    """The port can't be listened on."""


class OutOfReach(StartError):
    """The cluster does not answer, or does not let this process in."""


class ClusterRefused(StartError):
    """The cluster answered, and would not do it: the text has its reason."""
