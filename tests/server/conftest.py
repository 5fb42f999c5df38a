"""What the tests of live pages share."""

from tests.watching import app, hub

__all__ = ["app", "hub"]  # fixtures
