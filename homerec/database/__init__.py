"""Postgres: the embedded server, its addresses and its migrations."""
