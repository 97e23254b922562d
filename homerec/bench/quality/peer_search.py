"""The search of peers: random configurations on validation, each kept once it is measured."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from homerec.bench.quality.peers import (
    Config,
    Ease,
    ImplicitAls,
    ItemKnn,
    Peer,
    Popular,
    RecentlyPopular,
    weighted,
)
from homerec.bench.quality.protocol import Ints, Split
from homerec.errors import HomerecError
from homerec.lake import write_json

Progress = Callable[[str], None]

N_CONFIGS: Final = 30
K: Final = 20
_SEED: Final = 20_261
_PROCESSES: Final = 2
#: RecTools' ALS is drawn like implicit's and fitted by :mod:`homerec.bench.quality.rectools_peer`.
RECTOOLS: Final = "RecTools ALS"
#: Its pandas and numpy are older than homerec's, so it has an environment of its own.
RECTOOLS_VERSION: Final = "0.19.0"

_KINDS: Final[dict[str, type[Peer]]] = {
    kind.name: kind for kind in (Popular, RecentlyPopular, ItemKnn, Ease, ImplicitAls)
}


class PeerError(HomerecError, RuntimeError):
    """A peer that cannot be run."""


@dataclass
class Search:
    """Where peers are measured, and what is known already.

    Attributes
    ----------
    work : Path
        Folder of the cache, by content of the split and configuration; removing it starts anew.
    progress : callable
        Receives one line per step.
    n_configs : int
        Configurations drawn per peer.
    """

    work: Path
    progress: Progress
    n_configs: int = N_CONFIGS
    _keys: dict[int, str] = field(default_factory=dict)

    def best(self, name: str, validation: Split) -> Config:
        """Return the configuration with the best NDCG@20 of those drawn; ties go to the first.

        Parameters
        ----------
        name : str
            A peer of :mod:`homerec.bench.quality.peers`, or :data:`RECTOOLS`.
        validation : Split
            What is held out in it decides; no test pair may be in it.
        """
        rng = np.random.default_rng(_SEED)
        peer = (ImplicitAls if name == RECTOOLS else _KINDS[name])()
        drawn = [peer.draw(rng, validation) for _ in range(self.n_configs)]
        configs = [c for at, c in enumerate(drawn) if c not in drawn[:at]]
        tops = self.tops(name, validation, configs)
        values = [float(validation.judge(top)["ndcg"].mean()) for top in tops]
        at = int(np.argmax(values))
        self.progress(
            f"{name}: best of {len(configs)} on {validation.name}, NDCG@{K} {values[at]:.4f}: "
            f"{configs[at]}"
        )
        return configs[at]

    def tops(self, name: str, split: Split, configs: list[Config]) -> list[Ints]:
        """Rank with each configuration, int64 (len(split.eligible), 20), fitting what is missing.

        Raises
        ------
        PeerError
            RecTools cannot be installed, or ends with an error.
        """
        folder = self.work / self._key(split)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / _file(name, config) for config in configs]
        missing = [(c, f) for c, f in zip(configs, files, strict=True) if not f.exists()]
        if missing and name == RECTOOLS:
            self._run_rectools(split, folder, missing)
        elif missing:
            self._run_here(name, split, missing)
        return [_read(file) for file in files]

    def _run_here(self, name: str, split: Split, missing: list[tuple[Config, Path]]) -> None:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
            tasks = [pool.submit(_one, name, split, config, file) for config, file in missing]
            for done, task in enumerate(as_completed(tasks), 1):
                task.result()
                self.progress(f"{name} on {split.name}: {done} of {len(missing)} configurations")

    def _run_rectools(self, split: Split, folder: Path, missing: list[tuple[Config, Path]]) -> None:
        python = rectools_python(self.work, self.progress)
        values, asked = {}, []
        for config, file in missing:
            kind = {k: v for k, v in config.items() if k in ("weights", "half_life_days")}
            name = f"values-{_digest(kind)}"
            values[name] = weighted(split, kind).tocoo().data
            asked.append({**config, "values": name, "seed": 0, "k": K, "file": file.name})
        pairs = split.matrix().tocoo()
        problem = folder / "rectools.npz"
        np.savez(problem, row=pairs.row, column=pairs.col, users=split.eligible, **values)
        parts = [asked[at::_PROCESSES] for at in range(_PROCESSES)]
        running = []
        try:
            for at, part in enumerate(part for part in parts if part):
                running.append(_Script.start(python, problem, folder / f"rectools-{at}", part))
            for script in running:
                script.finish(folder)
                self.progress(f"{RECTOOLS} on {split.name}: {script.n} configurations")
        finally:
            for script in running:
                script.stop()

    def _key(self, split: Split) -> str:
        if id(split) not in self._keys:
            arrays = (
                split.listener, split.item, split.plays, split.age_days, split.test_listener,
                split.test_item,
            )  # fmt: skip
            content = b"".join(array.tobytes() for array in arrays)
            self._keys[id(split)] = f"{split.name}-{sha256(content).hexdigest()[:12]}"
        return self._keys[id(split)]


@dataclass
class _Script:
    """One process of RecTools' own Python."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    files: list[str]

    @property
    def n(self) -> int:
        return len(self.files)

    @classmethod
    def start(cls, python: Path, problem: Path, folder: Path, asked: list[Config]) -> "_Script":
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_json(asked, folder / "configs.json")
        script = Path(__file__).with_name("rectools_peer.py")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(python), str(script), str(problem), str(folder)],
                stdout=log,
                stderr=log,
                env=environment,
            )
        return cls(process, folder, [str(one["file"]) for one in asked])

    def finish(self, target: Path) -> None:
        code = self.process.wait()
        if code:
            tail = (self.folder / "log").read_text(encoding="utf-8")[-2000:]
            raise PeerError(f"RecTools ended with {code}; its last lines:\n{tail}")
        for name in self.files:
            (self.folder / name).rename(target / name)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def _digest(config: Config) -> str:
    return sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def _file(name: str, config: Config) -> str:
    return f"{name.replace(' ', '-')}-{_digest(config)}.npz"


def _one(name: str, split: Split, config: Config, file: Path) -> None:
    """Fit and rank one configuration, in a process of its own; the file appears whole."""
    items = split.top(_KINDS[name]().fit(split, config, 0, 1), K)
    partial = file.with_suffix(".part.npz")
    np.savez(partial, items=items)
    partial.rename(file)


def _read(file: Path) -> Ints:
    with np.load(file, allow_pickle=False) as arrays:
        items: Ints = arrays["items"]
    return items


def rectools_python(work: Path, progress: Progress) -> Path:
    """Python of RecTools' own environment below ``work``, made with uv where it is missing.

    Raises
    ------
    PeerError
        It cannot be made.
    """
    home = work / "rectools"
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    progress(f"{RECTOOLS}: installing rectools {RECTOOLS_VERSION} in an environment of its own")
    uv = [sys.executable, "-m", "uv"]
    wanted = f"rectools=={RECTOOLS_VERSION}"
    for command in (
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [*uv, "pip", "install", "--quiet", "--python", str(python), wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    (home / "ready").touch()
    return python
