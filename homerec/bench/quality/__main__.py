"""Entry of ``python -m homerec.bench.quality``; processes that it starts import this file too."""

import sys

if __name__ == "__main__":
    from homerec.bench.quality.command import main

    sys.exit(main())
