"""Features: snapshots of the feature tables, and the one assembly for (listener, item) pairs."""
