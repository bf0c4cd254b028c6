"""Makes every refund twice under the same key, as a payment provider that knows no keys would."""

import os
from pathlib import Path

from agentspan.agents import AgentRuntime
from bench.worker import EFFECTS, EffectsFile, make_agent


def main() -> None:
    """Serve until SIGTERM."""
    effects = EffectsFile(Path(os.environ[EFFECTS]))

    def twice(key: str) -> None:
        effects.write(key)
        effects.write(key)

    with AgentRuntime() as runtime:
        runtime.serve(make_agent(twice, 0.0))


if __name__ == "__main__":
    main()
