"""What the tests of faults share."""

from tests.engine.chromium import chromium, context, page

__all__ = ["chromium", "context", "page"]  # fixtures
