"""Entry of ``python -m homerec.bench``; processes that it starts import this file too."""

import sys

if __name__ == "__main__":
    from homerec.bench.command import main

    sys.exit(main())
