"""Where a server listens: IPv4 or IPv6, with a second port for metrics alone."""

import socket
from pathlib import Path

import pytest

from agentspan_standalone.errors import PortTaken, SettingsError
from agentspan_standalone.server import bound
from agentspan_standalone.settings import Settings
from tests.support.server import free_port


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_it_listens_where_it_was_told_to(tmp_path: Path, host: str, family: socket.AddressFamily) -> None:
    [listening] = bound(Settings(data=tmp_path, host=host, port=0))
    with listening, socket.create_connection(listening.getsockname()[:2], timeout=5) as client:
        assert listening.family == client.family == family


def test_all_addresses_are_those_of_both_families(tmp_path: Path) -> None:
    [listening] = bound(Settings(data=tmp_path, host="::", port=0, trusted_proxy=True, allowed_hosts=("proxy",)))
    port = listening.getsockname()[1]
    with listening:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


def test_metrics_have_a_port_of_their_own_where_one_is_given(tmp_path: Path) -> None:
    port = free_port()
    doors, metrics = bound(Settings(data=tmp_path, port=0, metrics_port=port))
    with doors, metrics:
        assert metrics.getsockname()[1] == port
        with pytest.raises(PortTaken, match="AGENTSPAN_METRICS_PORT"):
            bound(Settings(data=tmp_path, port=0, metrics_port=port))


def test_a_port_that_is_taken_is_told_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as told:
            bound(Settings(data=tmp_path, port=port))
    assert str(told.value) == (
        f"port {port} on 127.0.0.1 can't be used (address already in use): `agentspan server status` says whether a"
        " server runs there; another port goes with --port"
    )


def test_a_port_is_not_given_twice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="given twice"):
        Settings(data=tmp_path, port=6767, metrics_port=6767)
