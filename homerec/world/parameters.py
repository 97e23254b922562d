"""Parameters of the simulated app: one TOML file, checked before anything is generated."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from homerec.errors import SettingsError
from homerec.settings import resource

#: The committed file that holds every default.
DEFAULTS: Final = "config/world.toml"
MAX_TAGS: Final = 64

T = TypeVar("T")


def _within(low: float, high: float) -> Any:
    return field(metadata={"low": low, "high": high})


def _ratio() -> Any:
    return _within(0.0, 1.0)


@dataclass(frozen=True)
class Calendar:
    """First UTC day with events, and how many days there are."""

    start: date
    days: int = _within(1, 3660)


@dataclass(frozen=True)
class Population:
    """Who listens: number, sign-up dates, picks at sign-up, languages."""

    listeners: int = _within(1, 100_000_000)
    recent_ratio: float = _within(0.0, 0.9)
    oldest_days: int = _within(31, 20_000)
    signup_ratio: float = _ratio()
    signup_min: int = _within(1, 8)
    signup_max: int = _within(1, 8)
    bilingual_ratio: float = _ratio()


@dataclass(frozen=True)
class Market:
    """A country: code, language, share of the listeners, and time zones."""

    code: str
    language: str
    share: float = _within(0.0, 1e9)
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tags:
    """Names of the music and podcast tags."""

    music: tuple[str, ...]
    podcast: tuple[str, ...]


@dataclass(frozen=True)
class Taste:
    """The hidden taste and how it becomes tags and acceptance."""

    dimensions: int = _within(1, 64)
    music_sharpness: float = _within(0.0, 50.0)
    podcast_sharpness: float = _within(0.0, 50.0)
    tag_noise: float = _within(0.0, 10.0)
    tag_popularity: float = _within(0.0, 10.0)
    market_tag_popularity: float = _within(0.0, 10.0)
    cross_domain_correlation: float = _ratio()
    item_noise: float = _within(0.0, 100.0)
    affinity_slope: float = _within(0.0, 50.0)
    affinity_offset: float = _within(-5.0, 50.0)
    attempts: int = _within(1, 100)
    foreign_accept: float = _within(0.001, 1.0)


@dataclass(frozen=True)
class CatalogSize:
    """How many items and contents there are, and how many of them appear after the start."""

    artists: int = _within(1, 10_000_000)
    albums: int = _within(1, 10_000_000)
    playlists: int = _within(1, 10_000_000)
    shows: int = _within(1, 10_000_000)
    reference_listeners: int = _within(1, 100_000_000)
    growth_exponent: float = _within(0.0, 2.0)
    tracks_per_album: int = _within(1, 100)
    tracks_per_playlist: int = _within(1, 1000)
    episodes_per_show: int = _within(1, 1000)
    episode_gap_days: float = _within(0.25, 365.0)
    new_album_ratio: float = _within(0.0, 0.9)
    new_playlist_ratio: float = _within(0.0, 0.9)
    new_show_ratio: float = _within(0.0, 0.9)
    limited_ratio: float = _ratio()
    neutral_language_ratio: float = _ratio()


@dataclass(frozen=True)
class Popularity:
    """What makes an item popular, where and when."""

    spread: float = _within(0.0, 5.0)
    market_spread: float = _within(0.0, 5.0)
    home_boost: float = _within(-5.0, 5.0)
    lingua_franca: float = _ratio()
    foreign: float = _ratio()
    fresh_boost: float = _within(0.0, 100.0)
    fresh_days: float = _within(0.1, 365.0)
    trend_ratio: float = _ratio()
    trend_boost: float = _within(0.0, 5.0)
    trend_rise_days: float = _within(0.1, 365.0)
    trend_decay_days: float = _within(0.1, 365.0)


@dataclass(frozen=True)
class Rhythm:
    """When and how much people listen."""

    sessions_per_day: float = _within(0.0, 20.0)
    sessions_spread: float = _within(0.0, 3.0)
    active_week_ratio: float = _within(0.01, 0.99)
    weekend_factor: float = _within(0.0, 5.0)
    tracks_per_session: float = _within(1.0, 50.0)
    episodes_per_session: float = _within(1.0, 10.0)
    podcast_ratio: float = _within(0.001, 0.999)
    dayparts: tuple[float, ...] = _within(0.0, 1.0)
    weekend_dayparts: tuple[float, ...] = _within(0.0, 1.0)
    daypart_spread: float = _within(0.0, 5.0)
    daypart_podcast_spread: float = _within(0.0, 5.0)


@dataclass(frozen=True)
class Memory:
    """How familiar items come back: decay, habits, capacity."""

    decay: float = _within(0.05, 2.0)
    retrieval_power: float = _within(0.1, 5.0)
    capacity: int = _within(8, 256)
    habit_ratio: float = _ratio()
    habit_week_ratio: float = _ratio()
    habit_boost: float = _within(1.0, 1000.0)
    habit_damp: float = _within(0.0, 1.0)
    episode_boost: float = _within(1.0, 1000.0)
    items_at_start: int = _within(0, 256)


@dataclass(frozen=True)
class Novelty:
    """How often people try something new, and what."""

    music_ratio: float = _ratio()
    podcast_ratio: float = _ratio()
    spread: float = _within(0.0, 3.0)
    new_listener_boost: float = _within(0.0, 20.0)
    new_listener_days: float = _within(0.1, 365.0)
    artist_share: float = _ratio()
    album_share: float = _ratio()
    discovery_ratio: float = _ratio()


@dataclass(frozen=True)
class Playing:
    """What happens to one play: skips, durations, missing contexts, dismissals."""

    skip_ratio: float = _ratio()
    familiar_skip_factor: float = _ratio()
    dismissal_ratio: float = _ratio()
    no_context_ratio: float = _ratio()
    track_minutes: float = _within(0.6, 60.0)
    episode_minutes: float = _within(0.6, 600.0)


@dataclass(frozen=True)
class Arrival:
    """How late events arrive."""

    minutes: float = _within(0.0, 1000.0)
    late_ratio: float = _ratio()
    late_hours: float = _within(0.0, 100.0)
    stray_ratio: float = _ratio()
    stray_days: float = _within(0.0, 30.0)


@dataclass(frozen=True)
class OldHome:
    """The Home that the app had: popular cards, the same for a whole market."""

    open_ratio: float = _ratio()
    click_ratio: float = _ratio()
    cards: int = _within(1, 20)
    position_bias: float = _within(0.0, 5.0)
    depth: float = _within(1.0, 20.0)


@dataclass(frozen=True)
class Editors:
    """Editors' picks and take-downs."""

    markets: int = _within(0, 100)
    cards: int = _within(0, 1000)
    window_days: int = _within(1, 3660)
    blocked: int = _within(0, 1000)


@dataclass(frozen=True)
class Parameters:
    """Everything that decides a world, together with the number of listeners."""

    calendar: Calendar
    population: Population
    markets: tuple[Market, ...]
    tags: Tags
    taste: Taste
    catalog: CatalogSize
    popularity: Popularity
    rhythm: Rhythm
    memory: Memory
    novelty: Novelty
    playing: Playing
    arrival: Arrival
    home: OldHome
    editors: Editors
    seed: int = _within(0, 2**62)


def load_parameters(path: Path | None = None) -> Parameters:
    """Read and check the parameters.

    Parameters
    ----------
    path : Path, optional
        A TOML file that sets what differs from the committed ``config/world.toml``; a section may
        be partial, ``markets`` is replaced as a whole.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, or sets something unknown or out of its range.
    """
    source = resource(DEFAULTS)
    values = _read(source)
    if path is not None:
        source = path
        for name, value in _read(path).items():
            old = values.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                old.update(value)
            else:
                values[name] = value
    return parse_parameters(values, str(source))


def parse_parameters(values: Mapping[str, Any], source: str) -> Parameters:
    """Check values as a TOML file holds them; ``source`` is named in errors.

    Raises
    ------
    SettingsError
        Something is unknown, missing, of the wrong type or out of its range.
    """
    parameters = _build(Parameters, values, source, "")
    _check_together(parameters, source)
    return parameters


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"The world's parameter file {path} does not exist.") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from error


def _build(section: type[T], values: object, source: str, where: str) -> T:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{source}: [{where}] must be a table, it is {values!r}.")
    known = {f.name: f for f in fields(section)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    if unknown := sorted(set(values) - set(known)):
        raise SettingsError(
            f"{source} sets {', '.join(prefix + u for u in unknown)}; known in "
            f"[{where or 'top level'}] are {', '.join(known)}."
        )
    if missing := [name for name in known if name not in values]:
        raise SettingsError(f"{source} does not set {', '.join(prefix + m for m in missing)}.")
    built = {
        name: _value(f.type, f.metadata, values[name], source, prefix + name)
        for name, f in known.items()
    }
    return section(**built)


def _value(kind: Any, bounds: Mapping[str, Any], value: object, source: str, where: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise SettingsError(f"{source}: {where} is {value!r}, a list is needed.")
        inner = get_args(kind)[0]
        return tuple(_value(inner, bounds, v, source, f"{where}[{i}]") for i, v in enumerate(value))
    if kind in (int, float):
        return _number(kind, bounds, value, source, where)
    if kind in (str, date):
        # A TOML date-time is a date to isinstance; only a plain date is meant here.
        if type(value) is not kind:
            raise SettingsError(f"{source}: {where} is {value!r}, a {kind.__name__} is needed.")
        return value
    return _build(kind, value, source, where)


def _number(
    kind: type, bounds: Mapping[str, Any], value: object, source: str, where: str
) -> int | float:
    low, high = bounds.get("low", float("-inf")), bounds.get("high", float("inf"))
    allowed = (int,) if kind is int else (int, float)
    if type(value) not in allowed:
        raise SettingsError(f"{source}: {where} is {value!r}, a {kind.__name__} is needed.")
    number: int | float = kind(value)
    if not low <= number <= high:
        raise SettingsError(f"{source}: {where} is {number}, allowed is {low} to {high}.")
    return number


def _check_together(p: Parameters, source: str) -> None:
    problems = [
        (not p.markets, "markets: at least one is needed."),
        (len(p.markets) > 100, f"markets: {len(p.markets)}, allowed are 100."),
        (sum(m.share for m in p.markets) <= 0, "markets: the shares sum to 0."),
        (
            len({m.code for m in p.markets}) < len(p.markets),
            "markets: a code is there twice.",
        ),
        (p.population.signup_min > p.population.signup_max, "signup_min is above signup_max."),
        (
            p.novelty.artist_share + p.novelty.album_share > 1,
            "novelty.artist_share + novelty.album_share is above 1.",
        ),
        (
            p.arrival.late_ratio + p.arrival.stray_ratio > 1,
            "arrival.late_ratio + arrival.stray_ratio is above 1.",
        ),
    ]
    for name, tags in (("music", p.tags.music), ("podcast", p.tags.podcast)):
        problems.append(
            (not 2 <= len(tags) <= MAX_TAGS, f"tags.{name}: {len(tags)} tags, allowed 2 to 64.")
        )
        problems.append((len(set(tags)) < len(tags), f"tags.{name}: a tag is there twice."))
    for name in ("dayparts", "weekend_dayparts"):
        shares = getattr(p.rhythm, name)
        bad = len(shares) != 4 or min(shares, default=0) <= 0
        problems.append((bad, f"rhythm.{name} is {shares}; four shares above 0 are needed."))
    for broken, message in problems:
        if broken:
            raise SettingsError(f"{source}: {message}")
    for market in p.markets:
        _check_market(market, source)


def _check_market(market: Market, source: str) -> None:
    if len(market.code) != 2 or not market.code.isalpha() or not market.code.isupper():
        raise SettingsError(f"{source}: market {market.code!r}: two capital letters are needed.")
    if not market.zones:
        raise SettingsError(f"{source}: market {market.code} has no time zone.")
    for zone in market.zones:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsError(
                f"{source}: market {market.code}: {zone!r} is not an IANA time zone."
            ) from error
