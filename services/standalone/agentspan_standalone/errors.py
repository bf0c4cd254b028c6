"""Why a server can't be started or stopped, a cluster not be prepared for one, or a dead letter not be handled.

StartError
├── SettingsError    a setting that can't be used; the text names it
├── PortTaken        somebody listens there already
├── LogRefused       the log can't be opened, or the cluster that holds it not be reached
├── NotStarted       a detached server ended, or was not ready in time
├── NotStopped       it was asked to, and has not yet
├── NotRunning       no server runs on this data folder
├── HistoryRefused   ClickHouse answered, and has not the tables of this release, or would not
├── OutOfReach       the cluster does not answer, or does not let this process in
├── ClusterRefused   the cluster answered, and would not
├── NoSuchLetter     there is no dead letter of this id
└── LetterHandled    somebody has handled it
"""


class StartError(Exception):
    """The root of this package's errors."""


class SettingsError(StartError):
    """A setting that can't be used, and what to do."""


class PortTaken(StartError):
    """The port can't be listened on."""


class LogRefused(StartError):
    """The log can't be used: it is broken or locked, or its cluster does not answer."""


class NotStarted(StartError):
    """A detached server ended, or was not ready in time."""


class NotStopped(StartError):
    """A server was asked to stop, and has not yet."""


class NotRunning(StartError):
    """No server runs on this data folder."""


class HistoryRefused(StartError):
    """The ClickHouse answered, and can't be used: its tables are of another release, or it lets this process not in."""


class OutOfReach(StartError):
    """The cluster does not answer, or does not let this process in."""


class ClusterRefused(StartError):
    """The cluster answered, and would not do it: the text has its reason."""


class NoSuchLetter(StartError):
    """There is no dead letter of this id, or no more."""


class LetterHandled(StartError):
    """Somebody has replayed or discarded the dead letter."""
