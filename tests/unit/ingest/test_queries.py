"""What a mapping may say of queries, and how mistakes in it are reported."""

import re

import pytest
import yaml

from homerec.errors import MappingError
from homerec.ingest import load_mapping
from homerec.settings import resource

COLUMNS = {"listener_id": "u", "item_id": "i", "picked_at": "at"}
ITEMS = {"item_id": "i", "type": {"constant": "show"}, "title": "t", "released_at": "at"}


@pytest.fixture
def load(tmp_path):
    def go(keys, name="signup_picks", columns=COLUMNS):
        path = tmp_path / "m.yaml"
        top = {"url_env": keys["url_env"]} if "url_env" in keys else {}
        table = {"columns": columns} | {k: v for k, v in keys.items() if k != "url_env"}
        path.write_text(yaml.safe_dump(top | {"tables": {name: table}}))
        return load_mapping(path)

    return go


def test_a_table_or_a_query_is_read(load):
    text = "SELECT * FROM t WHERE at >= :since"
    mapping = load({"query": f"{text};\n", "overlap_hours": 1.5, "url_env": "LOG_URL"})
    assert mapping.url_env == "LOG_URL"
    table = mapping.tables["signup_picks"]
    assert table.files == ()
    query = table.query
    assert (query.text, query.table, query.name) == (text, None, "query")
    assert (query.uses_since, query.overlap_hours) == (True, 1.5)
    query = load({"table": "app.picks"}).tables["signup_picks"].query
    assert (query.text, query.table, query.name) == (None, "app.picks", "table app.picks")
    assert query.uses_since is False
    assert load({"files": "a/*"}).tables["signup_picks"].query is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "needs 'files'.* or 'query' or 'table' of a database"),
        ({"files": "a/*", "query": "SELECT 1"}, "has files and query; exactly one"),
        ({"query": "SELECT 1", "csv": {"header": True}}, "csv does not go with 'query'"),
        ({"query": "SELECT 1", "format": "csv"}, "format does not go with 'query'"),
        ({"files": "a/*", "overlap_hours": 1}, "overlap_hours does not go with 'files'"),
        ({"query": "SELECT 1", "overlap_hours": 1}, "overlap_hours is 1: .* uses :since"),
        ({"query": "SELECT :since", "overlap_hours": -1}, "overlap_hours is -1: it must be 0"),
        ({"query": "SELECT :since", "overlap_hours": "x"}, "a number is needed"),
        ({"query": "SELECT :until"}, r"uses the parameter :until; only :since is there"),
        ({"query": "SELECT 1", "url_env": "postgresql://u:canary@h/d"}, "'url_env' must be the"),
        ({"query": "SELECT 1", "qery": "x"}, "did you mean 'query'"),
    ],
)
def test_mistakes_are_named(keys, message, load):
    with pytest.raises(MappingError, match=message) as caught:
        load(keys)
    assert "canary" not in str(caught.value)


def test_since_is_for_rows_with_a_time(load):
    with pytest.raises(MappingError, match="rows of items have no time"):
        load({"query": "SELECT * FROM t WHERE changed >= :since"}, "items", ITEMS)


def test_colons_that_are_no_parameter_are_left_alone(load):
    text = r"SELECT a::int, '10:30', '\:x' FROM t"
    assert load({"query": text}).tables["signup_picks"].query.text == text


def test_the_examples_of_the_readme_are_mappings(tmp_path):
    text = resource("config/mappings/README.md").read_text()
    blocks = re.findall(r"\n\n((?:    .*\n)+)", text)
    examples = [b for b in blocks if b.lstrip().startswith("name:")]
    assert len(examples) == 2
    for block in examples:
        path = tmp_path / "example.yaml"
        path.write_text(re.sub("^    ", "", block, flags=re.MULTILINE))
        mapping = load_mapping(path)
        assert set(mapping.tables) == {"listeners", "items", "events"}
    first = examples[0]
    assert "url_env: OUR_LOG_URL" in first
