"""The catalog: items, their tracks and episodes, and what makes them liked, where and when."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homerec.columns import ITEM_TYPES
from homerec.world.parameters import Parameters
from homerec.world.titles import identifiers, names, phrases, tagged

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

ARTIST, ALBUM, PLAYLIST, SHOW = range(4)
DAY_S: Final = 86_400
#: Weight of an item's first and second tag.
_TAG_WEIGHTS: Final = (0.75, 0.25)
_WIDTHS: Final = (6, 6, 6, 5)


class Things(NamedTuple):
    """The catalog as compiled code reads it; items are numbered artists, albums, playlists, shows.

    Attributes
    ----------
    items : item_type (n_items,)
        Language (index, -1 for none), vector (unit; shows in the podcast space, others in the
        music space), and the range of contents of artists, albums and shows: tracks are ordered
        by artist and album, episodes by show and release.
    contents : CONTENT (n_contents,)
        Item numbers of its artist, album, show (-1 for none), seconds, and the first day on which
        it can be played.
    segment : int64 (4, n_tags + 1)
        Where in ``entry`` the items of a type and tag begin.
    entry : int32 (n_entries,)
        Items by type and tag; an item stands once for each of its tags.
    playlist_tracks : int32 (n_playlists, tracks_per_playlist)
        Tracks of each playlist.
    first_album, first_playlist, first_show : int
        First item number of those types; artists begin at 0.
    """

    items: npt.NDArray[np.void]
    contents: npt.NDArray[np.void]
    segment: npt.NDArray[np.int64]
    entry: Ints
    playlist_tracks: Ints
    first_album: int
    first_playlist: int
    first_show: int


#: One content.
CONTENT: Final = np.dtype(
    [("artist", np.int32), ("album", np.int32), ("show", np.int32), ("seconds", np.int32),
     ("day", np.int32)]
)  # fmt: skip


def item_type(dimensions: int) -> np.dtype[np.void]:
    """Layout of one item."""
    return np.dtype(
        [("low", np.int32), ("high", np.int32), ("language", np.int32),
         ("vector", np.float32, (dimensions,))]
    )  # fmt: skip


@dataclass(frozen=True)
class Catalog:
    """A catalog and its attraction.

    Attributes
    ----------
    things : Things
        Structure, for compiled code.
    first : int64 (5,)
        First item number of each type, and the number of items.
    n_tracks : int
        Tracks; contents from there on are episodes.
    show_episodes : int64 (n_shows + 1,)
        First episode of each show.
    tag : int32 (n_items, 2)
        First and second tag; indices of podcast tags for shows, of music tags for the others.
    release_s : int64 (n_items,)
        Release, seconds since the world's start.
    content_release_s : int64 (n_contents,)
        The same, of contents.
    weight : float32 (n_markets, n_items)
        Popularity in each market, with language, without time; 0 where not available.
    entry_weight : float32 (n_entries,)
        Weight of the tag for which the entry stands.
    trend_day, trend_height : float32 (n_items,)
        Begin of an item's trend in days since the start and its height (log); height 0 for none.
    available : bool (n_markets, n_items)
        Where an item may be played.
    home_market : int32 (n_items,)
        Where it comes from.
    centres : tuple of float32 (n_tags, dimensions)
        Music and podcast tags in the hidden space.
    """

    things: Things
    first: npt.NDArray[np.int64]
    n_tracks: int
    show_episodes: npt.NDArray[np.int64]
    tag: Ints
    release_s: npt.NDArray[np.int64]
    content_release_s: npt.NDArray[np.int64]
    weight: Floats
    entry_weight: Floats
    trend_day: Floats
    trend_height: Floats
    available: npt.NDArray[np.bool_]
    home_market: Ints
    centres: tuple[Floats, Floats]

    @property
    def contents(self) -> npt.NDArray[np.void]:
        """Contents, an array of `CONTENT`."""
        return self.things.contents

    @property
    def n_items(self) -> int:
        """Number of items of all types."""
        return len(self.release_s)

    def item_ids(self) -> pa.Array:
        """Text ids of all items, in their order."""
        first = self.first
        return pa.concat_arrays(
            [
                identifiers(kind, 1, int(first[i + 1] - first[i]), _WIDTHS[i])
                for i, kind in enumerate(ITEM_TYPES)
            ]
        )

    def content_ids(self) -> pa.Array:
        """Text ids of all contents, in their order: tracks, then episodes."""
        n_tracks = self.n_tracks
        n_episodes = len(self.contents) - n_tracks
        return pa.concat_arrays(
            [identifiers("track", 1, n_tracks, 7), identifiers("episode", 1, n_episodes, 7)]
        )


def stream(p: Parameters, purpose: str) -> np.random.Generator:
    """Return the generator of one part of the catalog, so that parts do not shift each other."""
    return np.random.Generator(np.random.Philox([p.seed, *purpose.encode("utf-8")]))


def languages(p: Parameters) -> list[str]:
    """Language codes in the order of their indices; the first market's comes first."""
    return list(dict.fromkeys(m.language for m in p.markets))


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    """Scale rows to length 1."""
    length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return np.asarray(rows / length, np.float32)


def make_catalog(p: Parameters, n_listeners: int) -> Catalog:
    """Make the catalog for a population of that size.

    Parameters
    ----------
    p : Parameters
        The world's parameters; ``calendar.days`` and ``seed`` count too.
    n_listeners : int
        Decides how many items there are.
    """
    size = p.catalog
    growth = (n_listeners / size.reference_listeners) ** size.growth_exponent
    counts = [
        max(1, round(base * growth))
        for base in (size.artists, size.albums, size.playlists, size.shows)
    ]
    # Every artist has at least one album.
    counts[ALBUM] = max(counts[ALBUM], counts[ARTIST])
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    centres = _centres(p)
    tag, vector, album_artist = _tastes(p, counts, centres)
    release_s = _releases(p, counts)
    home, language, available = _origins(p, first, album_artist)
    weight = _weights(p, first, album_artist, home, language, available)
    entry, segment, entry_weight = _entries(p, first, tag)
    trend_day, trend_height = _trends(p, int(first[-1]))
    contents = _contents(p, first, tag, vector, weight, album_artist, release_s)
    items = np.zeros(int(first[-1]), item_type(p.taste.dimensions))
    items["language"] = language
    items["vector"] = vector
    for kind, bounds in contents.ranges.items():
        items["low"][first[kind] : first[kind + 1]] = bounds[:-1]
        items["high"][first[kind] : first[kind + 1]] = bounds[1:]
    things = Things(
        items, contents.rows, segment, entry, contents.playlist_tracks, int(first[ALBUM]),
        int(first[PLAYLIST]), int(first[SHOW]),
    )  # fmt: skip
    return Catalog(
        things, first, int(contents.ranges[ALBUM][-1]), contents.ranges[SHOW], tag, release_s,
        contents.release_s, weight, entry_weight, trend_day, trend_height, available, home, centres,
    )  # fmt: skip


def _centres(p: Parameters) -> tuple[Floats, Floats]:
    rng = stream(p, "centres")
    d = p.taste.dimensions
    music = unit(rng.standard_normal((len(p.tags.music), d)))
    return music, unit(rng.standard_normal((len(p.tags.podcast), d)))


def tag_popularity(p: Parameters) -> tuple[Floats, Floats]:
    """Log popularity of music and podcast tags by market, each float32 (n_markets, n_tags)."""
    rng = stream(p, "tag popularity")
    both = []
    for tags in (p.tags.music, p.tags.podcast):
        common = rng.normal(0.0, p.taste.tag_popularity, len(tags))
        local = rng.normal(0.0, p.taste.market_tag_popularity, (len(p.markets), len(tags)))
        both.append((common + local).astype(np.float32))
    return both[0], both[1]


def _tastes(
    p: Parameters, counts: list[int], centres: tuple[Floats, Floats]
) -> tuple[Ints, Floats, Ints]:
    rng = stream(p, "tastes")
    tags: list[npt.NDArray[np.int32]] = []
    vectors: list[Floats] = []
    album_artist = np.sort(
        np.concatenate(
            [
                np.arange(counts[ARTIST]),
                rng.integers(0, counts[ARTIST], counts[ALBUM] - counts[ARTIST]),
            ]
        )
    ).astype(np.int32)
    for kind, n in enumerate(counts):
        if kind == ALBUM:
            noise = rng.normal(0.0, 0.25, (n, p.taste.dimensions))
            tags.append(tags[ARTIST][album_artist])
            vectors.append(unit(vectors[ARTIST][album_artist] + noise))
            continue
        centre = centres[kind == SHOW]
        odds = np.exp(tag_popularity(p)[kind == SHOW].mean(axis=0).astype(np.float64))
        main = rng.choice(len(centre), n, p=odds / odds.sum())
        # Playlists keep closer to their tag than artists and shows do.
        noise_scale = p.taste.item_noise * (0.8 if kind == PLAYLIST else 1.0)
        vector = unit(centre[main] + rng.normal(0.0, noise_scale, (n, p.taste.dimensions)))
        near = vector @ centre.T
        near[np.arange(n), main] = -np.inf
        tags.append(np.stack([main, near.argmax(axis=1)], axis=1))
        vectors.append(vector)
    return np.concatenate(tags).astype(np.int32), np.concatenate(vectors), album_artist


def _releases(p: Parameters, counts: list[int]) -> npt.NDArray[np.int64]:
    rng = stream(p, "releases")
    size = p.catalog
    days = p.calendar.days
    oldest = p.population.oldest_days
    new_ratio = (0.0, size.new_album_ratio, size.new_playlist_ratio, size.new_show_ratio)
    # Artists are older than the oldest sign-up, so that anyone could pick any of them.
    spans = ((-3 * oldest, -oldest), (-oldest, -1), (-700, -1), (-1500, -1))
    parts = []
    for n, ratio, (low, high) in zip(counts, new_ratio, spans, strict=True):
        old = rng.uniform(low, high, n)
        new = rng.uniform(0.0, days, n)
        parts.append(np.where(rng.random(n) < ratio, new, old))
    return (np.concatenate(parts) * DAY_S).astype(np.int64)


def _origins(
    p: Parameters, first: npt.NDArray[np.int64], album_artist: Ints
) -> tuple[Ints, npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    rng = stream(p, "origins")
    n = int(first[-1])
    shares = np.array([m.share for m in p.markets])
    home = rng.choice(len(p.markets), n, p=shares / shares.sum()).astype(np.int32)
    codes = languages(p)
    of_market = np.array([codes.index(m.language) for m in p.markets], np.int8)
    neutral = rng.random(n) < p.catalog.neutral_language_ratio
    neutral[: first[PLAYLIST]] = False
    neutral[first[SHOW] :] = False
    available = rng.random((len(p.markets), n)) < 0.4
    available[:, rng.random(n) >= p.catalog.limited_ratio] = True
    available[home, np.arange(n)] = True
    albums = slice(int(first[ALBUM]), int(first[PLAYLIST]))
    home[albums] = home[album_artist]
    available[:, albums] = available[:, album_artist]
    language = np.where(neutral, -1, of_market[home]).astype(np.int8)
    return home, language, available


def _weights(
    p: Parameters,
    first: npt.NDArray[np.int64],
    album_artist: Ints,
    home: Ints,
    language: npt.NDArray[np.int8],
    available: npt.NDArray[np.bool_],
) -> Floats:
    rng = stream(p, "popularity")
    n = int(first[-1])
    base = rng.normal(0.0, p.popularity.spread, n)
    albums = slice(int(first[ALBUM]), int(first[PLAYLIST]))
    base[albums] = 0.5 * base[albums] + 0.8 * base[album_artist]
    codes = languages(p)
    weight = np.empty((len(p.markets), n), np.float32)
    for m, market in enumerate(p.markets):
        local = rng.normal(0.0, p.popularity.market_spread, n)
        own = codes.index(market.language)
        spoken = np.select(
            [(language < 0) | (language == own), language == 0],
            [1.0, p.popularity.lingua_franca],
            p.popularity.foreign,
        )
        log = base + local + np.where(home == m, p.popularity.home_boost, 0.0)
        weight[m] = np.exp(log) * spoken * available[m]
    return weight


def _entries(
    p: Parameters, first: npt.NDArray[np.int64], tag: Ints
) -> tuple[Ints, npt.NDArray[np.int64], Floats]:
    n_tags = max(len(p.tags.music), len(p.tags.podcast))
    n = len(tag)
    item = np.concatenate([np.arange(n), np.arange(n)])
    place = np.repeat([0, 1], n)
    kind = np.searchsorted(first, item, side="right") - 1
    key = kind * n_tags + tag[item, place]
    order = np.lexsort((item, key))
    bounds = np.searchsorted(key[order], np.arange(4 * n_tags + 1))
    segment = np.stack([bounds[t * n_tags : (t + 1) * n_tags + 1] for t in range(4)])
    weight = np.asarray(_TAG_WEIGHTS, np.float32)[place[order]]
    return item[order].astype(np.int32), segment.astype(np.int64), weight


def _trends(p: Parameters, n: int) -> tuple[Floats, Floats]:
    rng = stream(p, "trends")
    day = rng.uniform(-p.popularity.trend_decay_days, p.calendar.days, n)
    height = p.popularity.trend_boost * rng.uniform(0.5, 1.5, n)
    height[rng.random(n) >= p.popularity.trend_ratio] = 0.0
    return day.astype(np.float32), height.astype(np.float32)


@dataclass(frozen=True)
class _Contents:
    rows: npt.NDArray[np.void]
    ranges: dict[int, npt.NDArray[np.int64]]
    playlist_tracks: Ints
    release_s: npt.NDArray[np.int64]


def _contents(
    p: Parameters,
    first: npt.NDArray[np.int64],
    tag: Ints,
    vector: Floats,
    weight: Floats,
    album_artist: Ints,
    release_s: npt.NDArray[np.int64],
) -> _Contents:
    rng = stream(p, "contents")
    n_albums = int(first[PLAYLIST] - first[ALBUM])
    usual = p.catalog.tracks_per_album
    length = rng.integers(max(1, usual // 2), usual + usual // 2 + 1, n_albums)
    album_tracks = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    n_tracks = int(album_tracks[-1])
    track_album = np.repeat(np.arange(n_albums), length)
    track_artist = album_artist[track_album]
    artist_tracks = np.searchsorted(track_artist, np.arange(first[ALBUM] + 1)).astype(np.int64)
    track_release = release_s[first[ALBUM] + track_album]
    playlists = _playlist_tracks(p, rng, first, tag, vector, weight, artist_tracks)
    episode_show, episode_release = _episodes(p, rng, release_s[first[SHOW] :])
    show_episodes = n_tracks + np.searchsorted(
        episode_show, np.arange(int(first[-1] - first[SHOW]) + 1)
    ).astype(np.int64)
    n_episodes = len(episode_show)
    seconds = np.concatenate(
        [
            np.clip(60 * p.playing.track_minutes * np.exp(rng.normal(0, 0.25, n_tracks)), 45, 1800),
            np.clip(
                60 * p.playing.episode_minutes * np.exp(rng.normal(0, 0.45, n_episodes)), 120, 14400
            ),
        ]
    )
    release = np.concatenate([track_release, episode_release])
    rows = np.zeros(n_tracks + n_episodes, CONTENT)
    for name in ("artist", "album", "show"):
        rows[name] = -1
    rows["artist"][:n_tracks] = track_artist
    rows["album"][:n_tracks] = first[ALBUM] + track_album
    rows["show"][n_tracks:] = first[SHOW] + episode_show
    rows["seconds"] = seconds
    # Playable from the midnight after its release on.
    rows["day"] = -(-release // DAY_S)
    ranges = {ARTIST: artist_tracks, ALBUM: album_tracks, SHOW: show_episodes}
    return _Contents(rows, ranges, playlists, release)


def _playlist_tracks(
    p: Parameters,
    rng: np.random.Generator,
    first: npt.NDArray[np.int64],
    tag: Ints,
    vector: Floats,
    weight: Floats,
    artist_tracks: npt.NDArray[np.int64],
) -> Ints:
    n = int(first[SHOW] - first[PLAYLIST])
    slots = p.catalog.tracks_per_playlist
    own = slice(int(first[PLAYLIST]), int(first[SHOW]))
    place = (rng.random((n, slots)) >= _TAG_WEIGHTS[0]).astype(np.int64)
    wanted = np.take_along_axis(tag[own], place, axis=1)
    likeness = vector[own]
    artist_weight = weight[:, : first[ALBUM]].mean(axis=0, dtype=np.float64)
    artist = np.zeros((n, slots), np.int64)
    for g in range(len(p.tags.music)):
        at = np.nonzero(wanted == g)
        share = artist_weight * (tag[: first[ALBUM]] == g).any(axis=1)
        if share.sum() <= 0:
            share = artist_weight
        # The better matching of two draws: playlists are coherent beyond their tag.
        two = rng.choice(len(share), (2, len(at[0])), p=share / share.sum())
        match = np.einsum("tsd,sd->ts", vector[two], likeness[at[0]])
        artist[at] = two[match.argmax(axis=0), np.arange(len(at[0]))]
    count = artist_tracks[artist + 1] - artist_tracks[artist]
    return (artist_tracks[artist] + (rng.random((n, slots)) ** 2 * count)).astype(np.int32)


def _episodes(
    p: Parameters, rng: np.random.Generator, show_release: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (show, release in seconds) of all episodes; the first comes with the show."""
    end = p.calendar.days * DAY_S
    gap = p.catalog.episode_gap_days * np.exp(rng.normal(0.0, 0.6, len(show_release)))
    backlog = p.catalog.episodes_per_show
    begin = np.maximum(show_release, -(gap * backlog * DAY_S).astype(np.int64))
    count = 1 + ((end - 1 - begin) / (gap * DAY_S)).astype(np.int64)
    show = np.repeat(np.arange(len(show_release)), count)
    index = np.arange(len(show)) - np.repeat(np.cumsum(count) - count, count)
    jitter = np.where(index == 0, 0.0, rng.uniform(-0.3, 0.3, len(show)))
    release = begin[show] + ((index + jitter) * gap[show] * DAY_S).astype(np.int64)
    return show, np.where(index == 0, begin[show], release)


def item_titles(p: Parameters, catalog: Catalog) -> pa.Array:
    """Titles of all items, in their order."""
    rng = stream(p, "titles")
    first = catalog.first
    main = catalog.tag[:, 0].astype(np.int64)
    n = np.diff(first)
    return pa.concat_arrays(
        [
            names(rng, int(n[ARTIST])),
            phrases(rng, int(n[ALBUM])),
            tagged(
                phrases(rng, int(n[PLAYLIST])),
                list(p.tags.music),
                main[first[PLAYLIST] : first[SHOW]],
            ),
            tagged(phrases(rng, int(n[SHOW])), list(p.tags.podcast), main[first[SHOW] :]),
        ]
    )
