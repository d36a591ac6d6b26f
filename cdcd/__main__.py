"""`python -m cdcd` is `cdcd`."""

import sys

from cdcd.cli.main import main

sys.exit(main())
