"""The engine of a database folder with the rights that a configuration gives: statements in as JSON lines, answers out.

`python -m tests.support.analyst_engine FOLDER CONFIG`. A process of its own, as the engine is one a process.
"""

import json
import os
import sys


def main() -> None:
    """Answer each line with rows, or with the engine's refusal."""
    os.environ["TZ"] = "UTC"
    from chdb.state.sqlitelike import Connection

    folder, config = sys.argv[1:]
    connection = Connection(f"{folder}?config-file={config}")
    try:
        for line in sys.stdin:
            print(json.dumps(_answer(connection, json.loads(line))), flush=True)
    finally:
        connection.close()


def _answer(connection: object, statement: str) -> object:
    try:
        found = connection.query(statement, "JSONCompact")  # type: ignore[attr-defined]
        text = bytes(found.bytes()).decode()
    except RuntimeError as error:
        return {"refused": str(error)}
    return {"rows": json.loads(text)["data"] if text else []}


if __name__ == "__main__":
    main()
