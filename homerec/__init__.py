"""homerec precomputes every listener's Home page for an audio app, night after night."""

__version__ = "0.1.0"
