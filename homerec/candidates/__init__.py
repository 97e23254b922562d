"""Stage 1: candidate sources, one file each, and their union."""
