"""Deciding in the browser: the exact call, one effect, and who was first when somebody else was."""

import json

import pytest
from playwright.async_api import Page, expect

from tests.browser import agents
from tests.browser.site import LETTER, REFUND, Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_approving_runs_the_call_once_and_shows_the_end(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    card = page.get_by_role("region", name="issue_refund waits for your decision")
    for name, value in REFUND.items():
        await expect(card.get_by_role("row", name=name)).to_contain_text(str(value))
    await card.get_by_label("Reason").fill("Both invoices are there.")
    await card.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status")).to_have_text("Approved issue_refund.")
    await expect(page.get_by_role("status")).to_be_focused()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    await expect(page.get_by_role("region", name="Output")).to_contain_text("That is settled.")
    await expect(card).to_have_count(0)
    assert agents.EFFECTS.count(f"{run}.2-0") == 1
    approved = await site.event(run, "approved")
    assert (approved["channel"], approved["reason"]) == ("ui", "Both invoices are there.")


async def test_arguments_are_shown_whole_and_what_decides_stays_in_reach(site: Site, page: Page) -> None:
    run = await site.waiting("letter", agent=agents.post.name)
    await page.goto(f"/executions/{run}")
    card = page.get_by_role("region", name="send_letter waits for your decision")
    text = card.get_by_role("group", name="text, ")
    assert await text.text_content() == LETTER["text"]
    shown = await card.get_by_role("group", name="enclosures, ").text_content()
    assert json.loads(shown or "") == LETTER["enclosures"]
    await card.get_by_text("Raw JSON").click()
    raw = await card.get_by_role("group", name="Raw JSON, ").text_content()
    assert json.loads(raw or "") == LETTER
    await card.get_by_text("Raw JSON").click()
    whole, name = [
        await part.evaluate("part => part.getBoundingClientRect().toJSON()")
        for part in (card, card.get_by_role("rowheader", name="address"))
    ]
    assert whole["height"] < 2_500
    assert name["width"] > 100


async def test_rejecting_needs_a_reason_which_the_agent_gets(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text("Say why")
    await expect(page.get_by_label("Reason")).to_be_focused()
    await page.keyboard.type("Too much.")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    await expect(page.get_by_role("region", name="Decisions")).to_contain_text(
        "rejected issue_refund 2-0 by user:local"
    )
    await expect(page.get_by_role("region", name="Decisions")).to_contain_text("Too much.")
    result = await site.event(run, "rejected")
    assert result["reason"] == "Too much."
    assert f"{run}.2-0" not in agents.EFFECTS


async def test_a_call_runs_with_what_the_approver_wrote_in_place_of_its_arguments(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await page.get_by_text("Approve with other arguments").click()
    written = page.get_by_label("What issue_refund shall run with")
    assert json.loads(await written.input_value()) == REFUND
    await written.fill((await written.input_value()).replace("99.5", "20"))
    await page.get_by_role("button", name="Approve as edited").click()
    await expect(page.get_by_role("status")).to_have_text("Approved issue_refund with edited arguments.")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    assert (await site.event(run, "approved"))["edited_args"] == {**REFUND, "amount_usd": 20}
    decided = page.get_by_role("region", name="Decisions")
    await expect(decided).to_contain_text("with edited arguments")
    await expect(decided.get_by_role("row", name="amount_usd")).to_contain_text("20")
    proposed = 'Proposed: issue_refund(customer_id="cust-1", amount_usd=99.5, reason="charged'
    await expect(decided).to_contain_text(proposed)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"customer_id": ', "The arguments are not JSON"),
        ("[1]", "The arguments are an object"),
        ('{"customer_id": "cust-1", "reason": "twice", "amount_usd": "all"}', "amount_usd"),
    ],
)
async def test_what_a_call_cannot_run_with_is_told_and_can_be_mended(
    site: Site, page: Page, written: str, told: str
) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await page.get_by_text("Approve with other arguments").click()
    await page.get_by_label("What issue_refund shall run with").fill(written)
    await page.get_by_role("button", name="Approve as edited").click()
    await expect(page.get_by_role("alert")).to_contain_text(told)
    assert f"{run}.2-0" not in agents.EFFECTS
    await page.get_by_label("What issue_refund shall run with").fill(json.dumps(REFUND, indent=2))
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("Approved issue_refund.")
    assert (await site.event(run, "approved"))["edited_args"] is None


async def test_who_goes_back_to_the_list_does_not_find_there_what_was_decided(site: Site, page: Page) -> None:
    runs = [await site.waiting() for _ in range(3)]
    await site.listed()
    for run in runs:
        await page.goto(f"/executions/{run}")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("status")).to_have_text("Approved issue_refund.")
        await page.get_by_role("link", name="Waiting for a person").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for a person")
        assert await page.get_by_role("link", name=run).count() == 0


async def test_who_is_second_is_told_who_was_first(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.route("**/stream*", lambda route: route.abort())
    await page.goto(f"/executions/{run}")
    await site.decide(run, "2-0", "reject", "bo", reason="no")
    await site.event(run, "done")
    await page.get_by_role("button", name="Approve").click()
    told = page.get_by_role("status")
    await expect(told).to_contain_text("Somebody was first: issue_refund was rejected by user:bo through http")
    await expect(told).to_contain_text("Nothing changed.")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    assert f"{run}.2-0" not in agents.EFFECTS


async def test_who_decides_after_the_expiry_is_told_that_it_was_too_late(site: Site, page: Page) -> None:
    run = await site.waiting()
    winner = {"by": "system", "decision": "expired", "at": "2026-05-01T10:00:00Z", "channel": "timer"}
    problem = {"code": "already_decided", "detail": "call '2-0' expired", "winner": winner}
    await page.route("**/decision", lambda route: route.fulfill(status=409, json=problem))
    await page.goto(f"/executions/{run}")
    await page.get_by_role("button", name="Approve").click()
    told = page.get_by_role("status")
    await expect(told).to_contain_text("Too late: issue_refund expired at 2026-05-01 10:00:00 UTC. Nothing changed.")


async def test_a_call_that_is_decided_while_it_is_looked_at_says_by_whom(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await expect(page.get_by_role("button", name="Approve")).to_be_enabled()
    await site.decide(run, "2-0", "reject", "bo", reason="no")
    await expect(page.get_by_role("status")).to_contain_text("Decided meanwhile: rejected issue_refund 2-0 by user:bo")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_a_lost_answer_is_no_answer_and_the_same_decision_counts_once(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.route("**/stream*", lambda route: route.abort())
    lost = []

    async def answer_lost(route: object, request: object) -> None:
        lost.append(await route.fetch())  # type: ignore[attr-defined]
        await route.abort()  # type: ignore[attr-defined]

    await page.route("**/decision", answer_lost, times=1)
    await page.goto(f"/executions/{run}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("it is not known whether this was taken")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status")).to_have_text("Approved issue_refund.")
    await site.event(run, "done")
    assert len(lost) == 1
    assert agents.EFFECTS.count(f"{run}.2-0") == 1


async def test_a_decision_is_reached_and_made_with_the_keyboard_alone(site: Site, page: Page) -> None:
    run = await site.waiting()
    await page.goto(f"/executions/{run}")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    approve = page.get_by_role("button", name="Approve")
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await approve.evaluate("button => button === document.activeElement"):
            break
    await expect(approve).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Approved issue_refund.")


OUTCOMES = {
    "succeeded": ("It ran and worked", "What it returned", '{"charge": 7}'),
    "failed": ("It ran and failed", "The error", "card declined"),
    "not_run": ("It did not run", None, None),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_call_in_doubt_is_resolved_each_way(site: Site, page: Page, outcome: str) -> None:
    run = site.doubtful[list(OUTCOMES).index(outcome)]
    await site.event(run, "in_doubt")
    await page.goto(f"/executions/{run}")
    card = page.get_by_role("region", name="Did charge_card run? Nobody knows")
    await expect(card).to_contain_text(f"{run}.1-0")
    await card.get_by_role("button", name="Resolve").click()
    await expect(card.get_by_role("alert")).to_have_text("Choose what became of it.")
    choice, field, text = OUTCOMES[outcome]
    await card.get_by_label(choice).check()
    if field and text:
        await card.get_by_role("textbox", name=field).fill(text)
    await card.get_by_label("How do you know?").fill("I looked.")
    await card.get_by_role("button", name="Resolve").click()
    await expect(page.get_by_role("status")).to_have_text("Resolved charge_card.")
    await expect(page.get_by_role("region", name="Decisions")).to_contain_text("resolved charge_card 1-0 by user:local")
    match outcome:
        case "succeeded":
            assert (await site.event(run, "tool_result"))["value"] == {"charge": 7}
        case "failed":
            assert (await site.event(run, "tool_result"))["error"]["message"] == "card declined"
        case _:
            assert (await site.event(run, "retry_scheduled"))["attempt"] == 2
