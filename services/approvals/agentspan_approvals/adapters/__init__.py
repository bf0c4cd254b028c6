"""Adapters of the approvals service's ports."""
