"""python -m recordio_bridge: the command line; and the worker processes of a conversion."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
