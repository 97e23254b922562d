"""Recommendation quality: both stages against tuned peers, and on worlds whose truth is known."""
