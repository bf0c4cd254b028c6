"""The list: filters by URL and by form, counts, ranges of time, pages, and a browser without scripts."""

from datetime import datetime, timedelta, timezone

import pytest
from playwright.async_api import Page, expect

from tests.browser.site import Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = 52


async def rows(page: Page) -> list[str]:
    """The ids on the page."""
    return await page.locator("table.list tbody a.id").all_inner_texts()


async def test_the_url_says_what_is_listed_and_the_form_shows_it(site: Site, page: Page) -> None:
    waiting = await site.waiting()
    await site.listed()
    await page.goto("/executions?agent=shop&status=waiting&status=failed")
    assert waiting in await rows(page)
    row = page.get_by_role("row").filter(has_text=waiting)
    await expect(row).to_contain_text("issue_refund")
    await expect(row).to_contain_text("Refund me, please.")
    assert set(await page.locator("table.list .badge").all_inner_texts()) <= {"waiting", "failed"}
    await expect(page.get_by_label("Agent")).to_have_value("shop")
    await expect(page.get_by_label("waiting", exact=True)).to_be_checked()
    await expect(page.get_by_label("completed", exact=True)).not_to_be_checked()


async def test_the_form_makes_a_url_to_share(site: Site, page: Page) -> None:
    done = site.begin("answer")
    await site.event(done, "done")
    await site.listed()
    await page.goto("/")
    await page.get_by_label("Agent").select_option("shop")
    await page.get_by_label("completed", exact=True).check()
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**/executions?agent=shop&status=completed")
    assert done in await rows(page)
    assert set(await page.locator("table.list .badge").all_inner_texts()) == {"completed"}
    await page.get_by_role("link", name="Clear filters").click()
    await page.wait_for_url("**/executions")


async def test_a_count_is_a_link_to_what_it_counts(site: Site, page: Page) -> None:
    await site.waiting()
    await site.listed()
    await page.goto("/executions?agent=shop")
    chip = page.get_by_role("navigation", name="By status").get_by_role("link", name="waiting")
    counted = int((await chip.inner_text()).split()[-1])
    await chip.click()
    await page.wait_for_url("**/executions?agent=shop&status=waiting")
    assert len(await rows(page)) == counted


async def test_a_range_of_time_holds_what_started_in_it(site: Site, page: Page) -> None:
    run = site.begin("answer")
    await site.listed()
    started = site.server.get(f"/executions/{run}")["started_at"]
    behind = (datetime.fromisoformat(started) + timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
    await page.goto(f"/executions?agent=shop&from={started}&to={behind}")
    assert await rows(page) == [run]
    zoned = datetime.fromisoformat(started).astimezone(timezone(timedelta(hours=2))).isoformat()
    await page.goto(f"/executions?agent=shop&from={zoned}&to={behind}")
    assert await rows(page) == [run], "a + that nobody escaped"
    listed = site.server.http.get(f"/executions?agent=shop&from={zoned}&to={behind}").json()["items"]
    assert [item["execution_id"] for item in listed] == [run]
    await page.goto(f"/executions?agent=shop&to={started}")
    assert run not in await rows(page)
    await page.goto(f"/executions?agent=shop&from={started[:10]}&to={started[:10]}")
    assert run in await rows(page)


async def test_dates_and_times_are_typed_into_the_form(site: Site, page: Page) -> None:
    await site.waiting()
    await site.listed()
    await page.goto("/executions")
    await page.get_by_label("From: date").fill("2031-01-02")
    await page.get_by_label("From: time").fill("10:30")
    await page.get_by_label("To: date").fill("2031-02-03")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**/executions?from=2031-01-02T10:30Z&to=2031-02-03")
    await expect(page.get_by_role("heading", name="No execution matches these filters")).to_be_visible()
    await expect(page.get_by_label("From: time")).to_have_value("10:30")


async def test_a_bad_filter_is_named(page: Page) -> None:
    answer = await page.goto("/executions?from=yesterday")
    assert answer is not None
    assert answer.status == 422
    await expect(page.get_by_role("main")).to_contain_text("from: 'yesterday' is neither a date nor a time")
    await page.get_by_role("link", name="Clear filters").click()
    await page.wait_for_url("**/executions")


async def test_pages_hold_every_execution_once_newest_first(site: Site, page: Page) -> None:
    for number in range(PAGES):
        site.begin("answer", f"ticket {number}", agent="desk")
    await site.listed()
    until = site.server.get("/executions", agent="desk", limit=1)["items"][0]["started_at"]
    known = [
        item["execution_id"] for item in site.server.get("/executions", agent="desk", to=until, limit=500)["items"]
    ]
    await page.goto(f"/executions?agent=desk&to={until}")
    seen = await rows(page)
    assert len(seen) == 50
    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("link", name="First page")).to_be_visible()
    while True:
        seen += await rows(page)
        older = page.get_by_role("link", name="Older")
        if not await older.count():
            break
        await older.click()
    assert seen == known
    await page.get_by_role("link", name="First page").click()
    assert await rows(page) == known[:50]


async def test_what_waits_stands_oldest_first_each_with_its_call(site: Site, page: Page) -> None:
    first = await site.waiting("two")
    last = await site.waiting()
    await site.listed()
    since = site.server.get(f"/executions/{first}")["started_at"]
    await page.goto(f"/executions?agent=shop&status=waiting&from={since}")
    assert await rows(page) == [first, last]
    row = page.get_by_role("row").filter(has_text=first)
    await expect(row).to_contain_text('issue_refund(customer_id="cust-1", amount_usd=99.5, reason="charged twice <b>in')
    await expect(row).to_contain_text('suspend_account(customer_id="cust-1")')
    await page.get_by_role("link", name="newest first").click()
    await page.wait_for_url("**&order=newest")
    assert await rows(page) == [last, first]
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**order=newest**")
    oldest = site.server.get("/executions", agent="shop", order="oldest", **{"from": since})["items"]
    assert [item["execution_id"] for item in oldest][:2] == [first, last]


async def test_who_comes_back_to_the_tab_sees_the_list_as_it_is_now(site: Site, page: Page) -> None:
    await site.waiting()
    await site.listed()
    await page.goto("/executions?status=waiting")
    await page.get_by_label("From: date").fill("2031-01-02")
    later = await site.waiting()
    await site.listed()
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_role("link", name=later)).to_be_visible()
    await expect(page.get_by_label("From: date")).to_have_value("2031-01-02")
    await expect(page.get_by_label("From: date")).to_be_focused()


async def test_the_keyboard_reaches_the_list_past_its_filters(site: Site, page: Page) -> None:
    waiting = await site.waiting()
    await site.listed()
    await page.goto("/executions?status=waiting&order=newest")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the list")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name=waiting)).to_be_focused()


async def test_the_list_works_without_scripts(site: Site) -> None:
    waiting = await site.waiting()
    await site.listed()
    context = await site.context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/")
    await page.get_by_label("waiting", exact=True).check()
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("link", name=waiting).click()
    await expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    await expect(page.get_by_role("main")).to_contain_text(f"agentspan agent respond {waiting} --approve")
    await context.close()
