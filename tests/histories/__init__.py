"""Stored histories: what earlier versions wrote to the log. Never edited: old logs must fold for ever."""
