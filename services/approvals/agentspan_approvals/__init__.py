"""The approvals service: what waits for a human, and who decided what."""
