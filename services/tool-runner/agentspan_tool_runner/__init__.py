"""The tool-runner: calls models, hands tool calls to workers, and reports what came of them."""
