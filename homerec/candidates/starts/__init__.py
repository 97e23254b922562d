"""The candidate source `starts`: a model of what listeners start next."""
