"""``python -m blackstack.audit``."""

import sys

from blackstack.audit.cli import main

sys.exit(main())
