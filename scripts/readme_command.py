"""Print the README's command of a name: the line of the first ``sh`` block after ``<!-- command: NAME -->``."""

import re
import sys
from pathlib import Path

name, readme = sys.argv[1:]
found = re.search(rf"<!-- command: {re.escape(name)} -->\s*```sh\n(.+?)\n```", Path(readme).read_text(encoding="utf-8"))
if found is None:
    sys.exit(f"{readme} has no one-line command named {name!r}")
sys.stdout.write(found[1] + "\n")
