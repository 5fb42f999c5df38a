"""Views: what becomes of a view, whatever happens to it, and by which name pages know what it shows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.live import views
from server.live.endpoint import Hub
from server.live.view_requests import Answer, Viewer
from server.live.views import (
    BYTES_PER_SECOND,
    FRAME_SECONDS,
    RECENT_VERSIONS,
    STEPS,
    Event,
    State,
    View,
    digest_of,
    frame_of,
)
from tests.engine.watching import App, Page, in_loop, settled, until, watching


def view() -> View:
    return View("a", "/a", Viewer(b"localhost", b"", "http", None))


def rendered(view: View, text: str, status: int = 200) -> bool:
    """The view, rendered once more; whether that has to be sent."""
    view.state = State.QUEUED
    view.step(Event.BEGUN)
    view.step(Event.DONE)
    answer = Answer(view.url, status, text)
    digest = digest_of(answer)
    return view.take(answer, digest, None if view.knows(digest) else frame_of(view.id, answer))


@given(st.lists(st.sampled_from(Event)))
def test_a_change_is_always_followed_by_a_rendering_that_begins_after_it(events: list[Event]) -> None:
    one = view()
    was_changed = False
    for event in events:
        begun = one.begun
        state = one.step(event)
        assert state is None or state is one.state
        if event is Event.CHANGED:
            was_changed = True
        if one.state is State.RENDERING and one.begun > begun:
            was_changed = False
        assert was_changed == (one.state in (State.WAITING, State.QUEUED, State.OUTDATED))
        assert one.await_next() == one.begun + was_changed


def test_every_state_is_left_again() -> None:
    """From each there is a way back to where nothing is to be done."""
    for state in State:
        reached = {state}
        for _ in State:
            reached |= {after for (before, _), after in STEPS.items() if before in reached}
        assert State.FRESH in reached


def test_what_differs_has_to_be_sent_and_what_is_waited_for() -> None:
    one = view()
    assert rendered(one, '<p id="a" data-version="v1">')
    assert one.version == "v1"
    assert not rendered(one, '<p id="a" data-version="v1">')
    one.awaited = one.begun + 1
    assert rendered(one, '<p id="a" data-version="v1">')
    assert rendered(one, '<p id="a" data-version="v1">', 404)
    assert one.is_error
    assert one.version not in ("", "v1")


def test_an_element_without_a_version_is_known_by_its_hash() -> None:
    one = view()
    versions = [one.version for text in ("<p>one</p>", "<p>two</p>", "text") if rendered(one, text)]
    assert len(set(versions)) == 3
    assert all(len(version) == 24 for version in versions)


def test_what_a_tab_was_sent_lately_is_an_echo_and_what_it_was_not_is_none() -> None:
    one = view()
    for number in range(1, RECENT_VERSIONS + 3):
        rendered(one, f'<p data-version="v{number}">')
    newest = RECENT_VERSIONS + 2
    assert one.is_echo(f"v{newest - 1}", f"v{newest}", since=1)
    assert not one.is_echo(f"v{newest}", f"v{newest}", since=1), "it has all"
    assert not one.is_echo(f"v{newest - 1}", f"v{newest}", since=newest), "it was not sent to this tab"
    assert not one.is_echo("v1", f"v{newest}", since=1), "it is too old to be known"
    assert not one.is_echo("", f"v{newest}", since=1)
    rendered(one, "It failed.", 500)
    assert one.is_echo("whatever it shows", one.version, since=newest)
    assert not one.is_echo("whatever it shows", f"v{newest}", since=newest), "it was not told yet"


def test_a_large_view_waits_longer_for_its_next_rendering() -> None:
    one = view()
    assert one.pause == FRAME_SECONDS
    sizes = [10, 1000, BYTES_PER_SECOND // 10]
    pauses = [one.pause for size in sizes if rendered(one, "x" * size)]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[-1] == pytest.approx(0.1, rel=0.01)


def test_a_page_that_is_newer_than_the_last_frame_is_not_sent_back(
    hub: Hub, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another page's frame waits for its turn when a page comes that was made after the same commit."""
    monkeypatch.setattr(views, "FRAME_SECONDS", 0.1)

    async def run() -> None:
        first, second = Page(hub), Page(hub)
        first.watch(a="v0")
        await until(lambda: app.renders)
        app.commit("/a")
        second.watch(a="v1")
        await until(lambda: first.frames == ["a v1"])
        await settled(hub)
        assert second.frames == []
        app.commit("/a")
        second.say(watching(("a", "/a", None)))
        await until(lambda: first.frames == ["a v1", "a v2"])
        await until(lambda: second.frames)
        assert second.frames == ["a v2"]
        await first.close()
        await second.close()

    in_loop(run())


def test_what_takes_long_to_render_is_left_alone_for_longer() -> None:
    one = view()
    rendered(one, "short")
    one.took = views.SLOW_SECONDS / 2
    assert one.pause == FRAME_SECONDS
    one.took = 0.5
    assert one.pause == 0.5 * views.SLOW_PAUSE
