"""Each service as a process of its own, two of the orchestrator: a run from its start by an approval to history."""

import uuid
from pathlib import Path

from tests.kafka.servers import fleet
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker


def test_the_services_apart_bring_a_run_from_its_start_by_an_approval_into_history(
    broker: Broker, tmp_path: Path
) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    services = {"first": "orchestrator", "second": "orchestrator", "tools": "tool-runner"}
    services |= {"people": "approvals", "history": "query"}
    with fleet(tmp_path, broker.bootstrap, prefix, **services) as apart:
        first, _, _, people, history = apart.processes
        with apart.shop.program("begin", "refund") as program:
            _, tool, execution_id = program.lines()[-1].split()
        assert tool == "issue_refund"

        first.terminate()  # whatever partition it is on, one orchestrator is enough
        [waiting] = people.get("/approvals", execution_id=execution_id)["items"]
        assert waiting["args"]["amount_usd"] == 25.5
        with apart.shop.worker():
            assert people.decide(execution_id, "2-0").is_success
            assert history.await_end(execution_id)["output"] == "The refund is made."

        def listed() -> bool:
            page = history.get("/executions", agent="shop", status="completed")
            return [item["execution_id"] for item in page["items"]] == [execution_id]

        eventually(listed, "the run is in history")
        apart.audit([execution_id])
        assert people.http.get("/executions").status_code == 404, "an approvals process serves approvals alone"
