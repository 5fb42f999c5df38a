"""The settings of this process, read once. What cannot be used ends it with a line that says so."""

import sys

from server.settings import Settings, SettingsError

try:
    settings = Settings.from_environment()
except SettingsError as problem:
    print(f"server.py: {problem}", file=sys.stderr)
    sys.exit(2)
