"""Makes ``support`` importable by every test, and keeps small fits from fighting for cores."""

import os
import sys
from pathlib import Path

# Before numpy loads: threads that wait for each other cost more than these small fits.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))
