"""The tests, from pure to end to end."""
