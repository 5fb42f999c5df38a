"""Toasts."""

from templates.parts.toast import toast


def test_a_toast_can_be_closed() -> None:
    assert 'aria-label="Close this message"' in toast("Hello", id="x")
    assert 'id="x"' in toast("Hello", id="x")
