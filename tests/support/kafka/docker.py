"""The same broker from Apache's image, where a Docker engine answers."""

import shutil
import subprocess
from pathlib import Path

from testcontainers.core.container import DockerContainer

from tests.support.kafka.broker import Broker, nodes, properties, wait_until_ready

IMAGE = "apache/kafka:4.1.1"


def docker_answers() -> bool:
    """Whether there is an engine, not only its client."""
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


class DockerBroker(Broker):
    """One container. Stopped and started again, it keeps its data and its port."""

    def __init__(self) -> None:
        [node] = nodes(1)
        port = node.port
        self.bootstrap = f"127.0.0.1:{port}"
        lines = properties(node, [node], Path("/tmp/kafka-data"))
        # inside the container the port has to be open to the engine's network
        lines = lines.replace(f"listeners=PLAINTEXT://127.0.0.1:{port}", f"listeners=PLAINTEXT://:{port}", 1)
        self._container = DockerContainer(IMAGE, env=environment(lines)).with_bind_ports(port, port)
        self._made = False

    def start(self) -> None:
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        if not wait_until_ready(self.bootstrap, lambda: True):
            raise RuntimeError(f"{IMAGE} did not come up: {self._container.get_wrapped_container().logs()[-4000:]!r}")

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def freeze(self) -> None:
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        self._container.get_wrapped_container().unpause()


def environment(properties: str) -> dict[str, str]:
    """As the image wants it: `log.dirs` is KAFKA_LOG_DIRS."""
    lines = [line for line in properties.splitlines() if "=" in line and not line.startswith("#")]
    pairs = (line.split("=", 1) for line in lines)
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in pairs}
