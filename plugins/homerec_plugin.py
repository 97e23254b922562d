"""What Airflow loads from this folder: one plugin."""

from airflow.plugins_manager import AirflowPlugin


class HomerecPlugin(AirflowPlugin):
    """homerec's operators and sensors lie in the package ``homerec_airflow`` beside this file."""

    name = "homerec"
