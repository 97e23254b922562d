"""MLflow on the schema beside the serving one, with a version table of its own."""

from homerec.database import urls


def test_mlflow_keeps_versions_and_aliases_in_its_own_schema(server, run_sql):
    from mlflow import MlflowClient

    url, artifacts = urls.mlflow_url(server), str(server.home / "artifacts")
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    experiment = client.create_experiment("serving-test", artifact_location=artifacts)
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "ndcg", 0.5)
    client.create_registered_model("podcasts")
    version = client.create_model_version("podcasts", source=artifacts, run_id=run.info.run_id)
    client.set_registered_model_alias("podcasts", "champion", version.version)
    assert client.get_model_version_by_alias("podcasts", "champion").run_id == run.info.run_id
    query = "SELECT schemaname FROM pg_tables WHERE tablename = %s ORDER BY 1"
    assert run_sql(query, ("alembic_version",)) == [("homerec",), ("mlflow",)]
    assert run_sql(query, ("model_versions",)) == [("mlflow",)]
    assert run_sql(query, ("runs",)) == [("mlflow",)]
