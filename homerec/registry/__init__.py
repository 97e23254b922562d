"""Versions of models: saved artifacts, the registry in MLflow, and the gate between them."""
