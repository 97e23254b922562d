"""Rows of a listener out of an Arrow file of pairs, which several snapshots may share."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from homerec.columns import LISTENER
from homerec.forget.report import What
from homerec.forget.targets import Targets
from homerec.lake import atomic_file

Counts = dict[What, int]
#: One file that has several names on disk, by the number it had before.
Rewritten = dict[int, Path]


def purge_arrow(path: Path, targets: Targets, rewritten: Rewritten, *, apply: bool) -> Counts:
    """Remove a listener's rows from an Arrow file; it holds keys and numbers, no texts.

    Parameters
    ----------
    path : Path
    targets : Targets
    rewritten : dict of int to Path
        Files rewritten so far, which this adds to: another name of one of them becomes a name of
        the new file, so that it is still stored once.
    apply : bool
        Change the file; otherwise only count.

    Returns
    -------
    dict
        Count of ``rows``.

    Raises
    ------
    OSError, pa.ArrowInvalid
        The file cannot be read.
    """
    number = path.stat().st_ino
    keys = pa.array(np.array(sorted(targets.keys), dtype=np.int32))
    gone = 0
    with pa.memory_map(str(path)) as source:
        reader = ipc.open_file(source)
        batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
        kept = []
        for batch in batches:
            mine = pc.is_in(batch[LISTENER], keys)
            n = pc.sum(mine).as_py() or 0
            gone += n
            kept.append(batch.filter(pc.invert(mine)) if n else batch)
        if apply and gone and number in rewritten:
            with atomic_file(path) as target:
                target.hardlink_to(rewritten[number])
        elif apply and gone:
            options = ipc.IpcWriteOptions(compression="lz4")
            with (
                atomic_file(path) as target,
                ipc.new_file(str(target), reader.schema, options=options) as writer,
            ):
                for batch in kept:
                    if batch.num_rows:
                        writer.write_batch(batch)
            rewritten[number] = path
    return {"rows": gone} if gone else {}
