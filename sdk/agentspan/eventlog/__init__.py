"""The log: its ports, the rule that fences an owner, and the adapters."""
