"""homerec in Airflow: thin operators, a sensor and alerts over the library."""
