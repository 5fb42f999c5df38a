"""What this app is called. `python3 server.py rename` changes it, here and where it has to be said again.

For people, for files and cookies, and before each environment variable.
"""

NAME = "Kindling"
SLUG = "kindling"
PREFIX = "KINDLING_"
