"""Adapters of the orchestrator's ports."""
