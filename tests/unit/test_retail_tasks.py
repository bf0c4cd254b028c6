"""Every one of the 520 tasks of examples/retail_support comes out right: rules, store and recordings alike.

Apart from the single rules' tests because this is the judge: the expected changes are data, not our opinion.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from examples.retail_support.data import DATA, Task, load_database, load_tasks
from examples.retail_support.lookups import LOOKUPS
from examples.retail_support.memory import MemoryShop
from examples.retail_support.recordings import Recording, Turn, main, recording
from examples.retail_support.records import Database, ShopError
from examples.retail_support.shop import CHANGES
from examples.retail_support.store import ShopStore


@pytest.fixture(scope="module")
def database() -> Database:
    return load_database()


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, ...]:
    return load_tasks()


def test_the_data_are_those_of_the_readme() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")

    for path in DATA.glob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        digest = sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        assert f"| `{path.name}` | {len(value)} | `{digest}` |" in readme
    assert readme.count(".json` |") == len(list(DATA.glob("*.json")))


def test_no_data_file_is_larger_than_a_mebibyte() -> None:
    assert all(path.stat().st_size < 1024 * 1024 for path in DATA.iterdir())


def test_there_are_520_tickets_each_with_an_id_of_its_own(tasks: tuple[Task, ...]) -> None:
    assert len(tasks) == 520
    assert len({task.ticket_id for task in tasks}) == 520
    assert (tasks[0].ticket_id, tasks[20].ticket_id, tasks[-1].ticket_id) == (
        "tasks_dev-0",
        "tasks_train-0",
        "tasks_train-499",
    )


def test_the_rules_leave_exactly_the_expected_changes_and_refusals(database: Database, tasks: tuple[Task, ...]) -> None:
    assert [task.ticket_id for task in tasks if not _comes_out_right(database, task)] == []


def test_one_altered_value_of_one_expectation_is_noticed(database: Database, tmp_path: Path) -> None:
    raw = json.loads((DATA / "tasks_dev.json").read_text(encoding="utf-8"))
    raw[0]["expected_changes"]["orders"]["#W5442520"]["payment_history"][1]["amount"] += 0.01
    (tmp_path / "tasks_dev.json").write_text(json.dumps(raw), encoding="utf-8")

    wrong = [task.ticket_id for task in load_tasks(tmp_path) if not _comes_out_right(database, task)]

    assert wrong == ["tasks_dev-0"]


def test_one_file_holds_every_tickets_own_copy(tmp_path: Path, tasks: tuple[Task, ...]) -> None:
    store = ShopStore(tmp_path / "shop.sqlite3")
    wanted = tasks[:120]  # enough that tickets share orders and customers
    assert len({order_id for task in wanted for order_id in task.order_ids}) < sum(len(t.order_ids) for t in wanted)

    for index in range(max(len(task.actions) for task in wanted)):  # the tickets take turns
        for task in wanted:
            if index < len(task.actions):
                _call_store(store, task, index)

    assert [task.ticket_id for task in wanted if store.changes(task.ticket_id) != task.expected_changes] == []
    assert len(store.effects()) == sum(len(task.actions) - len(task.errors) for task in wanted)
    store.close()


def test_a_recording_played_over_a_fresh_copy_leaves_the_expected_changes(
    database: Database, tasks: tuple[Task, ...]
) -> None:
    for task in tasks:
        shop = MemoryShop(database)
        _play(shop, recording(task, database))
        assert shop.changes() == task.expected_changes, task.ticket_id


def test_a_recording_looks_up_the_user_then_the_orders_then_makes_the_calls_and_answers(
    database: Database, tasks: tuple[Task, ...]
) -> None:
    for task in tasks:
        turns = [
            [(call["tool"], call["args"]) for call in turn.get("tool_calls", [])] for turn in _turns(task, database)
        ]

        orders = [[("get_order_details", {"order_id": order_id}) for order_id in task.order_ids]]
        assert turns == [
            [("get_user_details", {"user_id": task.user_id})],
            *(orders if task.order_ids else []),
            *([(call.tool, call.args)] for call in task.actions),
            [],
        ]


def test_the_closing_answer_mentions_all_outputs_and_every_refusal(database: Database, tasks: tuple[Task, ...]) -> None:
    for task in tasks:
        answer = _turns(task, database)[-1]["text"]
        assert all(output in answer for output in task.outputs)
        assert all(error.removeprefix("Error: ") in answer for error in task.errors)


def test_outputs_stand_in_the_answer(database: Database) -> None:
    task = Task("t-1", "olivia_ito_3591", "How many shirts are there?", (), ("10", "54.33"), {}, ())

    assert _turns(task, database)[-1]["text"] == "Nothing was changed.\nTo your question: 10, 54.33."


def test_the_command_writes_one_file_a_ticket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], database: Database, tasks: tuple[Task, ...]
) -> None:
    folder = tmp_path / "recordings"

    assert main([str(folder)]) == 0

    assert {path.name for path in folder.iterdir()} == {f"{task.ticket_id}.json" for task in tasks}
    written = json.loads((folder / "tasks_dev-0.json").read_text(encoding="utf-8"))
    assert written == recording(tasks[0], database)
    assert "520 recordings" in capsys.readouterr().out


def test_the_command_says_when_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path / "file")])

    assert exit_.value.code == 2
    assert "cannot write to" in capsys.readouterr().err


def _comes_out_right(database: Database, task: Task) -> bool:
    shop = MemoryShop(database)
    refusals = []
    for call in task.actions:
        try:
            shop.call(call.tool, call.args)
        except ShopError as refusal:
            refusals.append(str(refusal))
    return shop.changes() == task.expected_changes and tuple(refusals) == task.errors


def _call_store(store: ShopStore, task: Task, index: int) -> None:
    call = task.actions[index]
    assert call.tool in CHANGES
    with suppress(ShopError):  # the count of effects tells whether the right ones were refused
        store.change(task.ticket_id, f"{task.ticket_id}/{index}", call.tool, call.args)


def _turns(task: Task, database: Database) -> list[Turn]:
    return recording(task, database)["turns"]


def _play(shop: MemoryShop, played: Recording) -> None:
    for turn in played["turns"]:
        for call in turn.get("tool_calls", []):
            assert call["tool"] in LOOKUPS or call["tool"] in CHANGES
            try:
                shop.call(call["tool"], call["args"])
            except ShopError:
                continue  # the model hears of it and goes on
