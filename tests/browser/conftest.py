"""What the tests in a browser share."""

from tests.chromium import chromium, context, page

__all__ = ["chromium", "context", "page"]  # fixtures
