"""History: the projection of the events into ClickHouse, and every read of it.

Empty on purpose: the embedded ClickHouse's process imports this package too, and has no use for the rest.
"""
