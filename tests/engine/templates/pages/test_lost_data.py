"""What a page says at its top: nothing while all is well; else what happened, what to do, and where a copy is."""

from templates.pages.lost_data import notice


def test_all_is_well_without_a_word() -> None:
    assert 'id="notice"' in notice()
    assert 'data-live="/notice"' in notice()
    assert "<p>" not in notice()


def test_a_loss_is_told_with_what_to_do() -> None:
    said = notice("<it> was deleted.", "Do this.")
    assert 'role="alert"' in said
    assert "&lt;it&gt; was deleted." in said
    assert 'href="/export.db"' in said
    assert "Do this." in said
    assert "restore a/copy.db" in notice("Gone.", "Do this.", "restore a/copy.db")
    assert notice("Gone.") != notice("Moved.")
