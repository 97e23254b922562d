"""Home: shelves by rule and by editors beside those of the models, and the page they make."""
