"""Experiments: many configurations of a model, compared on one window, the best judged on a later.

A file says what is tried (:mod:`homerec.training.experiments.reading`); what came of it is kept
under ``experiments/`` in the data folder and in MLflow.
"""
