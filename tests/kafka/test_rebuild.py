"""History built anew from a cluster's log, beside servers that go on: the same rows as they had written."""

import os
import uuid
from pathlib import Path

import httpx

from tests.kafka.load import load
from tests.kafka.servers import AGENTSPAN, fleet
from tests.support.clickhouse import ClickHouse
from tests.support.eventually import eventually
from tests.support.kafka.broker import Broker
from tests.support.server import run

RUNS = 12
ORDERED_BY = {"events": "execution_id, seq", "executions": "execution_id"}
"""Positions may stand behind a takeover that came later."""


def plainly(clickhouse: ClickHouse, sql: str) -> str:
    """The answer to a statement."""
    answer = httpx.post(clickhouse.url, content=sql, timeout=60)
    assert answer.is_success, answer.text
    return answer.text


def rows(clickhouse: ClickHouse, table: str) -> list[str]:
    """All that counts of it, in an order of its own."""
    sql = f"SELECT * FROM agentspan.{table} FINAL ORDER BY {ORDERED_BY[table]} FORMAT JSONEachRow"
    return plainly(clickhouse, sql).splitlines()


def test_a_rebuild_from_the_cluster_gives_the_rows_that_servers_wrote(broker: Broker, tmp_path: Path) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    with ClickHouse(tmp_path / "clickhouse") as clickhouse:
        settings = {"CLICKHOUSE": clickhouse.address, "CLICKHOUSE_PASSWORD": clickhouse.password}
        words = [f"AGENTSPAN_{name}={value}" for name, value in settings.items()]
        server = " ".join([*words, "AGENTSPAN_CLICKHOUSE_MIGRATE=true", "server start"])
        with fleet(tmp_path, broker.bootstrap, prefix, a=server, b=server) as two:
            two.shop.register()
            with load(two) as runs:
                runs.more(RUNS // 2)
                runs.some()
                two.processes[0].kill()  # its partitions have a takeover in their midst, and perhaps a torn outcome
                runs.more(RUNS // 2)
                ids = runs.finished()
            whole = two.audit(ids)
            events = sum(len(found) for found in whole.events.values())
            eventually(lambda: len(rows(clickhouse, "events")) == events, "history has all")
            written = {table: rows(clickhouse, table) for table in ORDERED_BY}
            plainly(clickhouse, "TRUNCATE TABLE agentspan.executions")
            plainly(clickhouse, "DELETE FROM agentspan.events WHERE seq > 3")

            log = f"kafka://{broker.bootstrap}?prefix={prefix}"
            line = [AGENTSPAN, "query", "rebuild", "--log", log, "--clickhouse", clickhouse.address]
            done = run(line, os.environ | {"AGENTSPAN_CLICKHOUSE_PASSWORD": clickhouse.password})
            assert done.returncode == 0, done.stderr
            assert f"{events} events of {len(ids)} executions" in done.stderr + done.stdout
            assert {table: rows(clickhouse, table) for table in ORDERED_BY} == written
