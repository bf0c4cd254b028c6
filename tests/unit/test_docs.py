"""The pages: every block of code is accounted for, every link leads somewhere, every setting named exists.

What can run without a server is held to account here; whole pages run in tests/integration/test_docs_pages.py.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from agentspan import agents
from agentspan.agents import testing
from docs.reference.generate import stale
from tests.support.docs import PAGES, ROOT, Block, blocks
from tests.support.docs_pages import EXECUTED
from tests.support.shell import check, commands, request

GENERATED = ("docs/reference/", "docs/topics-reference.md")
"""Written by programs and compared with what they write."""

BLOCKS = [block for page in PAGES for block in blocks(page) if not str(block).startswith(GENERATED)]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_accounted_for(block: Block) -> None:
    match block.language:
        case _ if "file" in block.marks:
            assert block.text == (ROOT / block.marks["file"]).read_text(encoding="utf-8")
        case _ if "tested" in block.marks and block.language not in ("sh", "console"):
            _exists(block.marks["tested"])
        case "python":
            assert block.page in EXECUTED, "no test runs this page: mark the block, or let a test run the page"
            compile(block.text, str(block), "exec")
        case "sh" | "console":
            _exists(block.marks.get("tested", "docs"))
            typed = list(commands(block))
            assert typed, "no command in it"
            for command in typed:
                check(command)
        case "http":
            lines = re.findall(r"^([A-Z]+) (/\S+)", block.text, re.MULTILINE)
            assert lines
            for method, path in lines:
                request(method, f"localhost{path}")
        case "sql":
            history = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
            assert block.text in history, "only what the page on history shows is run: mark the block, or add it there"
        case "json":
            json.loads(block.text)
        case "toml":
            tomllib.loads(block.text)
        case "yaml":
            assert isinstance(yaml.safe_load(block.text), dict | list)
        case "text":
            assert block.marks.get("shown"), "output needs a mark: `tested`, or `shown` with the reason"
        case other:
            raise AssertionError(f"nothing here knows what to do with {other or 'an indented block'!r}: fence it")


def _exists(place: str) -> None:
    path, _, name = place.partition("::")
    assert (ROOT / path).exists(), place
    assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), place


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_reference_is_what_the_code_says() -> None:
    assert stale() == [], "run `make schemas`"


def test_the_tree_of_errors_is_as_it_is() -> None:
    [tree] = [block.text for block in blocks(ROOT / "docs" / "sdk.md") if block.text.startswith("AgentspanError\n")]
    above: dict[int, str] = {}
    shown = {}
    for line in tree.splitlines():
        if found := re.match(r"^([│├└─ ]*)(\w+)", line):
            depth = len(found[1]) // 4
            above[depth] = found[2]
            shown[found[2]] = above.get(depth - 1, "Exception")
    public = [getattr(agents, name) for name in agents.__all__]  # not vars: what nobody asked for yet is not there
    errors = [found for found in public if isinstance(found, type) and issubclass(found, Exception)]
    assert shown == {error.__name__: error.__bases__[0].__name__ for error in errors}


def test_what_a_reader_would_stumble_over_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text:\n\n    indented\n\n- a list\n\n    of more\n\n<!-- shown: why -->\n\n```text\nfenced\n```\n")
    found = [(block.language, block.text, dict(block.marks)) for block in blocks(page)]
    assert found == [("", "indented\n", {}), ("text", "fenced\n", {"shown": "why"})]


@pytest.mark.parametrize(
    "typed",
    ["agentspan agent respond exec-1 --aprove", "agentspan agents list", "make tset", "curl localhost:6767/api/v1/runs",
     "python -m agentspan_nothing", "frobnicate"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_refused(typed: str) -> None:
    [command] = commands(Block(PAGES[0], 1, "sh", typed + "\n", {}))
    with pytest.raises(Exception, match=r"."):
        check(command)


def test_names_that_are_the_same_exist() -> None:
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    same = page.split("## Names that are the same")[1].split("```")[0]
    named = re.findall(r"`@?(\w+)(?:\([^`]*\))?`", same)
    there = {"_async", "assert_", *dir(agents), *dir(testing), *dir(agents.AgentHandle)}
    assert len(named) > 30
    assert [name for name in named if name not in there] == []


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    reached = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text())}
    kept = {page for page in PAGES if page.parent.name != "decisions" and page.is_relative_to(index.parent)}
    assert sorted(str(page.relative_to(ROOT)) for page in kept - reached - {index}) == []


def test_every_setting_named_is_one_that_is_read() -> None:
    sources = [
        path for folder in ("sdk", "services", "examples", "tests", "bench") for path in (ROOT / folder).rglob("*.py")
    ]
    read = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    settings = (ROOT / "services/standalone/agentspan_standalone/settings.py").read_text(encoding="utf-8")
    fields = {f"AGENTSPAN_{name.upper()}" for name in re.findall(r"^    (\w+):", settings, re.MULTILINE)}
    for page in PAGES:
        for name in set(re.findall(r"\bAGENTSPAN_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))):
            known = name in fields or re.search(rf"\b{name}\b", read)
            assert known or page.parent.name == "decisions", f"{page.name}: {name}"
