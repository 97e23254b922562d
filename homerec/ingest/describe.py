"""The contracts and their rules as text: the end of config/mappings/README.md is made of it.

``python -m homerec.ingest.describe`` writes it there.
"""

from datetime import datetime
from typing import Final

from homerec.ingest.contracts import CONTRACTS, Column, Contract
from homerec.ingest.rules import MALFORMED_LINE, possible_rules
from homerec.settings import resource

#: The line of the README after which the made part starts.
MARK: Final = "<!-- made of homerec/ingest/contracts.py"

_CHECKED: Final = {
    "market": "two capital letters",
    "language": "a BCP 47 tag, such as en or zh-Hant-TW",
    "time_zone": "a name of the IANA list",
}
#: What a row set aside under each rule is like.
RULES: Final = {
    MALFORMED_LINE: "is a line of a text table with too few or too many fields, or wrongly encoded",
    "not_json": "is a line that is no JSON object",
    "missing": "has no value in a required column; nothing but blanks is no value",
    "not_castable": "has a value that is not of the column's type",
    "out_of_range": "has a number or time outside its bounds",
    "unknown_type": "has a type that the contract does not know",
    "bad_market": "has a market that is not two capital letters",
    "bad_language": "has a language that is no BCP 47 tag",
    "bad_time_zone": "has a time zone that is not in the IANA list",
    "too_long": "has a text of too many characters",
    "too_many": "has a list of too many entries",
    "control_character": "has a control character; tabs and line breaks are legal, but not in ids",
    "from_the_future": "has a time more than `future_tolerance_minutes` after the ingest",
    "after_arrival": "started, or was shown, more than `future_tolerance_minutes` after it arrived",
    "ends_before_start": "has a window that ends before it starts; an empty one is legal",
    "unknown_listener": "refers to a listener that neither this ingest nor the lake defines",
    "unknown_item": "refers to an item that neither this ingest nor the lake defines",
    "unknown_content": "refers to a content that neither this ingest nor the lake defines",
    "wrong_type": "refers to an item of another type, such as a playlist for an artist",
    "no_item": "is an event of which no item is known, neither by itself nor by its content",
}  # fmt: skip


def describe_contracts() -> str:
    """Markdown tables of every contract's columns, and of the rules with their tables."""
    parts = [_contract(contract) for contract in CONTRACTS.values()]
    return "\n\n".join([*parts, _rules()]) + "\n"


def _contract(contract: Contract) -> str:
    key = ", ".join(contract.key) or "the whole row but its arrival"
    if contract.name == "events":
        key = "listener_id and event_id, else the whole row but its arrival"
    lines = [
        f"### {contract.name}",
        f"Key: {key}. "
        + ("Rows are added once." if contract.write == "append" else "Keeps its history."),
        "",
        "| column | type | unit | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
    for c in contract.columns:
        name = f"{c.name}{'*' if c.required else ''}"
        lines.append(f"| {name} | {_kind(c)} | {c.unit} | {_allowed(c)} | {c.about} |")
    return "\n".join(lines)


def _kind(column: Column) -> str:
    if column.references or column.form == "id":
        return "id"
    return {"texts": "list of texts", "instant": "time"}.get(column.kind, column.kind)


def _allowed(column: Column) -> str:
    said = [", ".join(column.allowed)] if column.allowed else []
    if column.check:
        said.append(_CHECKED[column.check])
    if column.low is not None and column.high is not None:
        said.append(f"{_bound(column.low)} to {_bound(column.high)}")
    if column.past:
        said.append("not after the ingest")
    if column.longest is not None:
        said.append(
            f"{'each ' if column.kind == 'texts' else ''}up to {column.longest:,} characters"
        )
    if column.most is not None:
        said.append(f"up to {column.most:,} entries")
    return "; ".join(said)


def _bound(value: int | datetime) -> str:
    return f"{value:,}" if isinstance(value, int) else value.date().isoformat()


def _rules() -> str:
    where: dict[str, list[str]] = {}
    for name, contract in CONTRACTS.items():
        for rule, _ in possible_rules(contract):
            if name not in where.setdefault(rule, []):
                where[rule].append(name)
    lines = ["### Rules that set a row aside", "| rule | a row ... | tables |", "|---|---|---|"]
    for rule, meaning in RULES.items():
        names = "all" if len(where[rule]) == len(CONTRACTS) else ", ".join(where[rule])
        lines.append(f"| {rule} | {meaning} | {names} |")
    return "\n".join(lines)


def readme_with_contracts(readme: str) -> str:
    """Put the description in the place of what follows the README's mark."""
    head, mark, rest = readme.partition(MARK)
    return f"{head}{mark}{rest.splitlines()[0]}\n\n{describe_contracts()}"


if __name__ == "__main__":
    path = resource("config/mappings/README.md")
    path.write_text(readme_with_contracts(path.read_text(encoding="utf-8")), encoding="utf-8")
