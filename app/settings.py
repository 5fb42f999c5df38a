"""The settings of this process, read once. What cannot be used ends it with a line that says so."""

import sys

from server.settings import Settings, SettingsError
from server.standard_streams import say

try:
    settings = Settings.from_environment()
except SettingsError as problem:
    say(f"server.py: {problem}", error=True)
    sys.exit(2)
