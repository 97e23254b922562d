"""How good the models are: on demo worlds, whose truth is known, and on real data."""
