"""Makes ``support`` importable by every test, and keeps the workers out of each other's way."""

import os
import sys
from pathlib import Path

# Before numpy loads: threads that wait for each other cost more than these small fits.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

from homerec.database import embedded
from support.real_stack import finished_stack, stack  # noqa: F401 - fixtures, one for all folders

# Each worker looks for the ports of its servers in a range of its own: a server that was stopped
# finds its port free when it comes back.
embedded.FIRST_PORT = 20_000 + os.getpid() % 100 * 100
