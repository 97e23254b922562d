"""Stage 1: candidate sources, one file or package each, and their union."""
