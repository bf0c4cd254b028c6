"""The retail shop's SQLite file: a copy for each ticket, each change once per key, whole or not at all.

Apart from the rules' tests because these need a file, threads and a second process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from examples.retail_support.records import KeyReused, NoTicket, Order, ShopError
from examples.retail_support.store import ShopStore

ORDER = "#W5442520"
CANCEL = {"order_id": ORDER, "reason": "no longer needed"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[ShopStore]:
    store = ShopStore(file)
    yield store
    store.close()


def test_a_second_call_with_the_same_key_is_answered_the_same_and_changes_nothing(store: ShopStore) -> None:
    first = store.change("t-1", "key-1", "cancel_pending_order", CANCEL)
    changes = store.changes("t-1")

    again = store.change("t-1", "key-1", "cancel_pending_order", CANCEL)

    assert again == first
    assert store.changes("t-1") == changes
    (effect,) = store.effects("t-1")
    assert (effect.idempotency_key, effect.ticket, effect.tool) == ("key-1", "t-1", "cancel_pending_order")
    assert (effect.args, effect.result) == (CANCEL, first)


def test_a_key_belongs_to_one_call(store: ShopStore) -> None:
    store.change("t-1", "key-1", "cancel_pending_order", CANCEL)

    for ticket, args in (("t-1", {**CANCEL, "order_id": "#W3942868"}), ("t-2", CANCEL)):
        with pytest.raises(KeyReused, match="'key-1' belongs to a call"):
            store.change(ticket, "key-1", "cancel_pending_order", args)
    assert len(store.effects()) == 1


def test_a_refused_call_leaves_no_row_and_its_key_unused(store: ShopStore) -> None:
    with pytest.raises(ShopError, match="is no reason"):
        store.change("t-1", "key-1", "cancel_pending_order", {**CANCEL, "reason": "?"})
    assert (store.effects(), store.changes("t-1")) == ((), {})

    store.change("t-1", "key-1", "cancel_pending_order", CANCEL)

    assert len(store.effects()) == 1


def test_tickets_do_not_see_each_other(store: ShopStore) -> None:
    store.change("t-1", "key-1", "cancel_pending_order", CANCEL)

    assert _status(store, "t-1") == "cancelled"
    assert _status(store, "t-2") == "pending"
    assert store.changes("t-2") == {}


def test_a_customer_is_found_at_the_address_of_the_tickets_own_copy(store: ShopStore) -> None:
    address = {"address1": "1 New Street", "address2": "", "city": "Denver", "state": "CO", "country": "USA"}
    store.change("t-1", "key-1", "modify_user_address", {"user_id": "noah_brown_6181", **address, "zip": "99999"})
    moved = {"first_name": "Noah", "last_name": "Brown", "zip": "99999"}

    assert store.lookup("t-1", "find_user_id_by_name_zip", moved) == "noah_brown_6181"
    with pytest.raises(ShopError, match="no user"):
        store.lookup("t-2", "find_user_id_by_name_zip", moved)
    assert store.lookup("t-1", "find_user_id_by_email", {"email": "noah.brown7922@example.com"}) == "noah_brown_6181"


def test_look_ups_answer_from_the_file(store: ShopStore) -> None:
    types = store.lookup("t-1", "list_all_product_types", {})

    assert isinstance(types, dict)
    assert len(types) == 50
    assert store.lookup("t-1", "get_product_details", {"product_id": "9523456873"})
    with pytest.raises(ShopError, match="user 'nobody' not found"):
        store.lookup("t-1", "get_user_details", {"user_id": "nobody"})


def test_a_call_of_no_ticket_is_refused(store: ShopStore) -> None:
    with pytest.raises(NoTicket, match="metadata"):
        store.change("", "key-1", "cancel_pending_order", CANCEL)
    with pytest.raises(NoTicket, match="metadata"):
        store.lookup("", "get_order_details", {"order_id": ORDER})


def test_a_file_opened_again_keeps_what_was_done(store: ShopStore, file: Path) -> None:
    store.change("t-1", "key-1", "cancel_pending_order", CANCEL)
    store.close()

    again = ShopStore(file)

    assert _status(again, "t-1") == "cancelled"
    assert len(again.effects()) == 1
    again.close()


def test_threads_that_call_with_one_key_make_one_change(store: ShopStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(store.change, "t-1", "key-1", "cancel_pending_order", CANCEL) for _ in range(32)]
        answers = [call.result() for call in calls]

    assert answers == [answers[0]] * 32
    assert len(store.effects()) == 1


def test_processes_that_open_a_new_file_at_once_share_it(file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from examples.retail_support.store import ShopStore\n"
        "store = ShopStore(Path(sys.argv[1]))\n"
        f"store.change('t-1', 'key-1', 'cancel_pending_order', {CANCEL!r})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(file)], cwd=ROOT) for _ in range(4)]

    assert [process.wait(60) for process in processes] == [0] * 4

    store = ShopStore(file)
    assert len(store.effects()) == 1
    store.close()


def _status(store: ShopStore, ticket: str) -> str:
    order = cast(Order, store.lookup(ticket, "get_order_details", {"order_id": ORDER}))
    return order["status"]
