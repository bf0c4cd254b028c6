"""The query service: history in ClickHouse, every read, live streams and the web pages."""
