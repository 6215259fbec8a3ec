"""The program that a person starts: the window."""

import sys

from app.main import main

sys.exit(main())
