"""What the tests in a browser share."""

from tests.engine.chromium import chromium, context, page
from tests.engine.firefox import firefox, started_firefox

__all__ = ["chromium", "context", "firefox", "page", "started_firefox"]  # fixtures
