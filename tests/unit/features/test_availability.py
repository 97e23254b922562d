"""Where an item may be shown on the day of a snapshot: by its markets and its licences."""

from datetime import date
from pathlib import Path

import pytest

from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import load_catalog
from support.lake import Row, build_lake, event, feature_rows, item, licence, listener

AS_OF = date(2026, 3, 10)
ALWAYS = (None, None)
OVER = (None, "2026-03-10T00:00")
AHEAD = ("2026-03-11T00:00", None)
LAST_MOMENT = (None, "2026-03-10T00:01")
FIRST_MOMENT = ("2026-03-10T23:59", None)
#: As the snapshot says it: nothing = everywhere.
NOWHERE, EVERYWHERE = [""], []


@pytest.mark.parametrize(
    ("markets", "windows", "expected"),
    [
        (None, [], EVERYWHERE),
        ([], [], EVERYWHERE),
        (["DE", "US"], [], ["DE", "US"]),
        (None, [(*ALWAYS, None)], EVERYWHERE),
        (None, [(*ALWAYS, "DE")], ["DE"]),
        (None, [(*LAST_MOMENT, "DE"), (*FIRST_MOMENT, "US")], ["DE", "US"]),
        (None, [(*OVER, "DE")], NOWHERE),
        (None, [(*AHEAD, None)], NOWHERE),
        (None, [(*OVER, "DE"), (*AHEAD, "DE")], NOWHERE),
        (None, [(*OVER, None), (*ALWAYS, "DE")], ["DE"]),
        (None, [("2026-03-10T00:00", "2026-03-10T01:00", "DE")], ["DE"]),
        (["DE", "US"], [(*ALWAYS, None)], ["DE", "US"]),
        (["DE", "US"], [(*ALWAYS, "DE"), (*ALWAYS, "FR")], ["DE"]),
        (["DE"], [(*ALWAYS, "FR")], NOWHERE),
        (["DE"], [(*OVER, None)], NOWHERE),
    ],
)
def test_markets_and_licences_both_have_to_allow_it(
    tmp_path: Path, markets: list[str] | None, windows: list[tuple[str, ...]], expected: list[str]
) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", show=1)],
        items=[item(1, markets=markets), item(2), item(3, markets=["DE"])],
        listeners=[listener(1), listener(2, "US"), listener(3, "FR")],
        tables={"availability": [licence(1, *window) for window in windows]},
    )
    rows: list[Row] = feature_rows(settings, AS_OF)["item_availability"]
    assert sorted(r["market"] for r in rows if r["item"] == 1) == expected
    assert [r["market"] for r in rows if r["item"] == 3] == ["DE"]
    info = ensure_snapshot(settings, AS_OF, writer="night")
    catalog = load_catalog(info)
    at = catalog.rows(catalog.items)
    found = {m: catalog.available(at, c).tolist() for c, m in enumerate(catalog.markets)}
    assert found == {
        market: [expected == EVERYWHERE or market in expected, True, market == "DE"]
        for market in ("DE", "FR", "US")
    }


def test_a_licence_of_an_item_that_is_not_out_yet_limits_no_other(tmp_path: Path) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", show=1)],
        items=[item(1), item(2, released_at="2026-04-01")],
        listeners=[listener(1)],
        tables={"availability": [licence(2, *OVER, None), licence(9, *OVER, None)]},
    )
    assert feature_rows(settings, AS_OF)["item_availability"] == []
