"""What another team does with the topics, each a program of its own (docs/tickets.md, docs/topics.md)."""
