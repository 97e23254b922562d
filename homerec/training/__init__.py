"""Training: sets from snapshots, fitting, evaluation, and one run from data to verdict."""
