"""A real Chromium over HTTP/2: pages come over it, and WebSockets beside it."""

from typing import Any

import pytest

from tests.engine.server.protocols.test_http2 import files, port

__all__ = ["files", "port"]


@pytest.fixture
def page(chromium: Any, port: int) -> Any:
    """A page of a browser that takes the certificate of this machine."""
    context = chromium.new_context(base_url=f"https://localhost:{port}", ignore_https_errors=True)
    context.set_default_timeout(5000)
    yield context.new_page()
    context.close()


def test_a_page_comes_over_http_2_and_its_websocket_works(page: Any) -> None:
    assert page.goto("/").text().startswith("2 ['localhost")
    said = page.evaluate(
        """() => new Promise((done, failed) => {
            const socket = new WebSocket(`wss://${location.host}/echo`);
            socket.onopen = () => socket.send("hello");
            socket.onmessage = (message) => done(message.data);
            socket.onerror = () => failed(new Error("the WebSocket did not open"));
        })"""
    )
    assert said == "hello"
