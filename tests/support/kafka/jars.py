"""The jars of a real Apache Kafka broker, fetched by Maven once per machine and pom, outside of the repository."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")


def classpath() -> str:
    """What `java -cp` takes. The first call on a machine downloads 54 MB; others wait for it."""
    folder = _cache() / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "lib").is_dir():
            _fetch(folder)
    return f"{folder / 'lib'}/*"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentspan-tests" / "kafka"


def _fetch(folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise RuntimeError("the Kafka tests need Docker, or Java 17 and Maven: on Debian `apt-get install maven`")
    partial = folder / "partial"
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True)
    partial.rename(folder / "lib")
