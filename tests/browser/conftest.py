"""One server and one browser for all tests of the pages; each test has a fresh context."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.site import CHROMIUM, FLAGS, Site
from tests.support.server import Server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    with Server(tmp_path_factory.mktemp("site"), lease_s=2) as server:
        site = Site(server, browser)
        with site.runtime:
            site.prepare()
            yield site


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: Site) -> AsyncIterator[Page]:
    """A page whose scripts must not fail, and that nothing the policy forbids is tried on."""
    context = await site.context()
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    await context.close()
    assert wrong == []
