"""One execution: it follows the run without disturbing whoever reads, and nothing it shows can act."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from agentspan.agents import Agent, AgentRuntime
from tests.browser import agents
from tests.browser.site import Site
from tests.support.server import turn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

EVIL = "<script>window.owned = 1</script><img src=x onerror='window.owned = 1'> & \"quotes\""


async def test_what_happens_is_shown_without_a_reload(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await page.evaluate("window.same = true")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("waiting")
    await site.decide(run, "2-0", "approve", "bo")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    await expect(page.get_by_role("region", name="Events")).to_contain_text("done")
    assert await page.evaluate("window.same")
    assert await page.locator("main[data-live]").count() == 0


async def test_a_reason_that_is_being_typed_and_what_is_open_stay(site: Site, page: Page) -> None:
    run = await site.waiting("two")
    await site.event(run, "waiting")
    await page.goto(f"/executions/{run}")
    second = page.get_by_role("region", name="suspend_account waits")
    await page.locator("#d2 summary").click()
    await second.get_by_label("Reason").fill("I am not")
    await second.get_by_label("Reason").press("End")
    await site.decide(run, "1-0", "reject", "bo", reason="no")
    await expect(page.get_by_role("region", name="issue_refund waits")).to_have_count(0)
    await page.keyboard.type(" done yet")
    await expect(second.get_by_label("Reason")).to_have_value("I am not done yet")
    await expect(second.get_by_label("Reason")).to_be_focused()
    await expect(page.locator("#d2")).to_have_attribute("open", "")
    await second.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")


async def test_who_reads_far_down_in_an_argument_stays_there(site: Site, page: Page) -> None:
    run = await site.waiting("letter", agent=agents.post.name)
    await page.goto(f"/executions/{run}")
    text = page.get_by_role("group", name="text, ")
    await text.focus()
    read = await text.evaluate("box => (box.scrollTop = 50_000)")
    message = {"text": "They called again."}
    await asyncio.to_thread(site.server.post, f"/executions/{run}/messages", message)
    await expect(page.get_by_role("region", name="Events")).to_contain_text("They called again.")
    assert await text.evaluate("box => box.scrollTop") == read
    await expect(text).to_be_focused()


async def test_the_page_goes_on_after_the_server_was_away(site: Site, page: Page) -> None:
    run = await site.waiting()
    refused = []

    async def away(route: object) -> None:
        refused.append(route)
        await route.fulfill(status=503)  # type: ignore[attr-defined]

    await page.route("**/stream*", away, times=1)
    await page.goto(f"/executions/{run}")
    async with page.expect_request("**/stream*"):
        pass
    await site.decide(run, "2-0", "approve", "bo")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    assert len(refused) == 1


async def test_nothing_that_an_agent_or_a_ticket_says_can_act(site: Site, page: Page) -> None:
    run = await site.waiting(prompt=EVIL)
    await site.listed()
    await page.goto(f"/executions/{run}")
    await expect(page.get_by_role("region", name="Prompt")).to_contain_text(EVIL)
    await expect(page.get_by_role("region", name="issue_refund waits")).to_contain_text("<b>in November</b>")
    assert await page.locator("main script, main img, main b").count() == 0
    await page.goto("/executions?status=waiting")
    await expect(page.get_by_role("row").filter(has_text=run)).to_contain_text("<script>window.owned")
    assert await page.evaluate("window.owned") is None


async def test_a_call_that_no_worker_can_run_says_so_until_one_can(site: Site, page: Page) -> None:
    unserved = Agent(name="unserved", model="replay/shop", tools=[agents.suspend_account])
    site.server.record("unserved", turn("", ("suspend_account", {"customer_id": "cust-1"})), turn("Suspended."))
    definition = unserved.definition.model_dump(mode="json")
    assert site.server.http.put("/agents", json=definition).is_success
    run = await site.waiting("unserved", agent="unserved")
    await page.goto(f"/executions/{run}")
    told = page.get_by_text("No worker can run suspend_account now.")
    await expect(told).to_have_count(0)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status").filter(has_text="Approved suspend_account.")).to_be_visible()
    await expect(told).to_be_visible()
    with AgentRuntime(site.server.url) as runtime:
        runtime.serve(unserved, blocking=False)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    await expect(told).to_have_count(0)


async def test_text_from_right_to_left_begins_at_the_right(site: Site, page: Page) -> None:
    run = site.begin("answer", "\u05e9\u05dc\u05d5\u05dd.")
    await site.event(run, "done")
    await page.goto(f"/executions/{run}")
    prompt = page.get_by_role("region", name="Prompt").locator("pre.text")
    ends = await prompt.evaluate("""box => [0, 4].map((at) => {
        const range = document.createRange();
        range.setStart(box.firstChild, at);
        range.setEnd(box.firstChild, at + 1);
        return range.getBoundingClientRect().left;
    })""")
    first, full_stop = ends
    assert full_stop < first


async def test_every_event_opens_to_all_of_it(site: Site, page: Page) -> None:
    run = site.begin("answer")
    await site.event(run, "done")
    await page.goto(f"/executions/{run}")
    events = page.get_by_role("region", name="Events").locator("li")
    await expect(events).to_have_count(len(site.server.events(run)))
    await events.nth(0).locator("summary").click()
    await expect(events.nth(0)).to_contain_text('"requested_by": "user:local"')


async def test_an_unknown_execution_is_a_page_that_leads_back(page: Page) -> None:
    answer = await page.goto("/executions/exec-nope")
    assert answer is not None
    assert answer.status == 404
    await page.get_by_role("link", name="All executions").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Executions")


async def test_the_id_is_copied(site: Site) -> None:
    run = site.begin("answer")
    await site.event(run, "done")
    context = await site.context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await page.goto(f"/executions/{run}")
    await page.get_by_role("button", name="Copy id").click()
    await expect(page.get_by_role("status")).to_have_text(f"Copied {run}")
    assert await page.evaluate("navigator.clipboard.readText()") == run
    await context.close()
