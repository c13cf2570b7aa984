"""``python -m app`` is ``duetto``."""

import sys

from app.cli import main

sys.exit(main())
