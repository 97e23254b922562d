"""Stage 2: rankers that order a listener's candidates."""
