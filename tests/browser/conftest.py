"""What the tests in a browser share."""

from tests.chromium import chromium, context, page
from tests.firefox import firefox, started_firefox

__all__ = ["chromium", "context", "firefox", "page", "started_firefox"]  # fixtures
