"""Whether `mlx-spec doctor --json`, whose output a file holds, says that Metal computes: exit code 0, else 1."""

import json
import sys
from pathlib import Path

sys.exit(0 if json.loads(Path(sys.argv[1]).read_text("utf-8"))["device"]["metal"] else 1)
