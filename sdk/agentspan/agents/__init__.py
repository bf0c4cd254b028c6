"""What an agent author imports."""
