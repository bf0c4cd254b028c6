"""What another team imports to send tickets and decisions and to follow approvals and events."""
