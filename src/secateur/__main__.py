"""``python -m secateur``: the same as the ``secateur`` command."""

import sys

from secateur.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
