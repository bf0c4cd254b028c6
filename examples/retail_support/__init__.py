"""A shop's support desk: 16 tools over an SQLite database, the seven that change something held for a human's approval.

Apart from the product on purpose: it imports only what an agent author imports, so it shows what one has to write.
The data come from a published benchmark (see data/README.md), which also says what every ticket must leave behind.
"""
