"""The `agentspan` command."""
