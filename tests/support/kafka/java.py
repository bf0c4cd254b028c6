"""The Java examples, built by Maven as anybody does: once per machine and state of their sources, outside of the
repository."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[3] / "examples" / "java"


def built() -> str:
    """What `java -cp` takes to run them. The first call on a machine downloads what they need; others wait for it."""
    folder = _cache() / _state()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "project").is_dir():
            _build(folder)
    return f"{folder}/project/target/classes:{folder}/project/lib/*"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agentspan-tests" / "java"


def _state() -> str:
    sources = sorted([PROJECT / "pom.xml", *PROJECT.glob("src/**/*.java")])
    return hashlib.sha256(b"\0".join(each.read_bytes() for each in sources)).hexdigest()[:12]


def _build(folder: Path) -> None:
    missing = [program for program in ("mvn", "javac") if shutil.which(program) is None]
    if missing:
        raise RuntimeError(
            f"the Java examples need {', '.join(missing)}: on Debian `apt-get install maven default-jdk-headless`"
        )
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    shutil.copy(PROJECT / "pom.xml", partial)
    shutil.copytree(PROJECT / "src", partial / "src")
    goals = ["compile", "dependency:copy-dependencies", f"-DoutputDirectory={partial}/lib", "-DincludeScope=runtime"]
    subprocess.run(["mvn", "-q", "-B", "-f", str(partial / "pom.xml"), *goals], check=True)
    partial.rename(folder / "project")
