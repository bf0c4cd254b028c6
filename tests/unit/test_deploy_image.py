"""The Dockerfile's promises, where no Docker runs: pinned, nobody's root, and made of what the build needs."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
INSTRUCTIONS = [line for line in DOCKERFILE.splitlines() if line and not line.startswith(("#", " "))]
LAST = INSTRUCTIONS[max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM")) :]


def test_both_stages_are_of_one_plain_image() -> None:
    assert [line for line in INSTRUCTIONS if line.startswith("FROM")] == [
        "FROM python:3.11-slim AS build",
        "FROM python:3.11-slim",
    ]


def test_all_that_comes_from_elsewhere_is_pinned_with_hashes() -> None:
    installs = re.findall(r"pip install ([^&\n]+)", DOCKERFILE)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install
    assert "pip wheel --no-deps --no-build-isolation" in DOCKERFILE


@pytest.mark.parametrize("pins", ["build.txt", "server.txt"])
def test_each_pin_has_a_hash(pins: str) -> None:
    text = (ROOT / "requirements" / pins).read_text(encoding="utf-8").replace("\\\n", "")
    pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert pinned != []
    assert [line for line in pinned if not re.match(r"\S+==\S+.*--hash=sha256:", line)] == []


def test_the_pins_are_those_of_the_extras_and_of_the_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    server, build = (
        set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("server.txt", "build.txt")
    )
    extras = project["project"]["optional-dependencies"]
    held = ("server", "kafka", "bedrock", "vertex")
    wanted = [*project["project"]["dependencies"], *(each for extra in held for each in extras[extra])]
    assert {re.split(r"[<>=~;\s\[]", each)[0] for each in wanted} <= server
    assert {re.split(r"[<>=~;\s\[]", each)[0] for each in project["build-system"]["requires"]} <= build


def test_it_runs_as_nobody_and_writes_to_its_folder_alone() -> None:
    assert "USER 10001:10001" in LAST
    assert not [line for line in LAST if line.startswith("COPY") and "--chown" in line]
    assert any("AGENTSPAN_DATA=/data" in line and "PYTHONDONTWRITEBYTECODE=1" in line for line in LAST)
    assert LAST[-2:] == ['ENTRYPOINT ["agentspan"]', 'CMD ["server", "start"]']


def test_it_is_asked_whether_it_lives_on_its_own_loopback() -> None:
    health = next(line for line in LAST if line.startswith("HEALTHCHECK"))
    assert "http://127.0.0.1:" in health
    assert "/livez" in health


def test_it_trusts_nobody_unasked() -> None:
    for setting in ("AGENTSPAN_HOST", "AGENTSPAN_TRUSTED_PROXY", "AGENTSPAN_ALLOWED_HOSTS"):
        assert setting not in DOCKERFILE


def test_the_build_gets_what_it_needs_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*packages, project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    needed |= set(re.findall(r"requirements/\w+\.txt", DOCKERFILE))
    assert {name for name in needed if not any(fnmatch(name.split("/")[0], each) for each in sent)} == set()
    assert sent == {name.split("/")[0] for name in needed}
