"""For everyone: no violation that axe finds, in light and dark, and nothing scrolls sideways on a narrow screen."""

from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.browser import agents
from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE = "axe_playwright_python"
"""The package of the test environment that carries axe-core."""

OPEN_ALL = "for (const part of document.querySelectorAll('details')) part.open = true"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paths(site: Site) -> list[str]:
    """One page of each kind."""
    done = site.begin("answer")
    await site.event(done, "done")
    waiting = await site.waiting("two")
    letter = await site.waiting("letter", agent=agents.post.name)
    await site.event(site.doubtful[-1], "in_doubt")
    await site.listed()
    runs = [f"/executions/{run}" for run in (done, waiting, letter, site.doubtful[-1])]
    return ["/", "/executions?status=waiting", "/executions?agent=nobody", "/executions?status=nonsense", *runs]


async def violations(page: Page, options: Any) -> list[str]:
    """What axe finds on the page as it is."""
    result = await page.evaluate("options => axe.run(document, options)", options)
    assert result["passes"]
    return [
        f"{page.url}: {found['id']}: {node['html'][:120]} {node['failureSummary']}"
        for found in result["violations"]
        for node in found["nodes"][:3]
    ]


@pytest.mark.skipif(util.find_spec(AXE) is None, reason=f"{AXE} is not installed")
async def test_axe_finds_no_violation_in_light_and_dark(page: Page, paths: list[str]) -> None:
    source = (Path(str(import_module(AXE).__file__)).parent / "axe.min.js").read_text(encoding="utf-8")
    found = []
    for path in paths:
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
        await page.goto(path)
        await page.evaluate(source)
        await page.evaluate(OPEN_ALL)
        found += await violations(page, {})
        await page.emulate_media(color_scheme="dark")
        found += await violations(page, {"runOnly": ["color-contrast"]})
    assert found == []


async def test_nothing_scrolls_sideways_however_narrow_the_screen(page: Page, paths: list[str]) -> None:
    wide = []
    for path in paths:
        await page.goto(path)
        await page.evaluate(OPEN_ALL)
        for width in (320, 768, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(f"{path} at {width}")
    assert wide == []
