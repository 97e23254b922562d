"""The Airflow stack on one machine: its four processes, and the main job run through it.

Nothing here imports Airflow; its processes are started as a person would start them.
"""
