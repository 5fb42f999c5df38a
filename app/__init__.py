"""The app: features, and the rooms that they share."""

# First of all, as it notes the constants of what is imported later (server/inline/source_constants.py).
import server  # noqa: F401
