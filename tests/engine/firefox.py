"""A real Firefox, the system's own, driven over WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/): fixtures.

Playwright drives only a Firefox that it has patched itself, and Selenium needs a program beside it that Debian does not
have. Firefox speaks BiDi by itself, so a WebSocket is enough for the few commands that are needed here.
"""

import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("firefox-esr", "firefox")
# How long anything is waited for, in seconds: the machine may have much else to do.
PATIENCE = 60
# Nothing but this machine is reached: all else is sent to a proxy that is not there. And no page opens by itself.
PREFERENCES = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "localhost, 127.0.0.1",
    "network.trr.mode": 5,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """A Firefox without a window, with a profile of its own in `profile`."""

    def __init__(self, program: str, profile: Path) -> None:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "HOME": str(profile)}
        )
        self._socket: ClientConnection | None = None
        self._calls = 0
        # What pages have written to the console as warnings or errors.
        self.complaints: list[str] = []

    def __enter__(self) -> "Firefox":
        try:
            self._socket = connect(f"{self._address()}/session", max_size=None).__enter__()
            self.call("session.new", capabilities={})
            self.call("session.subscribe", events=["log.entryAdded"])
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command; its result. Raises RuntimeError for one that Firefox refuses."""
        assert self._socket is not None
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("method") == "log.entryAdded" and message["params"]["level"] in ("warn", "error"):
                self.complaints.append(str(message["params"]["text"]))
            elif message.get("id") == self._calls:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}, {message['message']}")
                return message["result"]

    def open(self, url: str) -> "Tab":
        """A new tab, at this address."""
        tab = Tab(self, self.call("browsingContext.create", type="tab")["context"])
        tab.go(url)
        return tab

    def _address(self) -> str:
        """Where Firefox says that it listens; raises AssertionError where it does not in time."""
        assert self._process.stderr is not None
        end, said = time.monotonic() + PATIENCE, b""
        while not (found := re.search(rb"BiDi listening on (ws://\S+)\n", said)):
            ready, _, _ = select.select([self._process.stderr], [], [], max(0, end - time.monotonic()))
            piece = os.read(self._process.stderr.fileno(), 65536) if ready else b""
            assert piece, f"Firefox does not listen: {said.decode(errors='replace')}"
            said += piece
        return found[1].decode()

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        assert self._process.stderr is not None
        self._process.stderr.close()


class Tab:
    """A page of that Firefox, used as a person does; elements are named by selectors of CSS."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    def go(self, url: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self._firefox.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def close(self) -> None:
        """Close it."""
        self._firefox.call("browsingContext.close", context=self._context)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, or of what it promises."""
        result = self._firefox.call(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(value => JSON.stringify(value ?? null))",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert result["type"] == "success", result
        return json.loads(result["result"]["value"])

    def wait(self, expression: str, what: str = "") -> None:
        """Wait until an expression is true, on this page or the one that comes; while one goes there is no body."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean(document.body && ({expression}))"):
            assert time.monotonic() < end, f"{what or expression}: {self.evaluate('document.body?.innerText')}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, once it is there."""
        self._click(self._element({"type": "css", "value": selector}))

    def press(self, name: str) -> None:
        """Click on the button that is called so, once it is there."""
        self._click(self._element({"type": "accessibility", "value": {"role": "button", "name": name}}))

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        keys = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keyboard", "actions": keys})

    def give_file(self, selector: str, file: Path) -> None:
        """Choose a file for a field."""
        element = self._element({"type": "css", "value": selector})
        self._firefox.call("input.setFiles", context=self._context, element=element, files=[str(file)])

    def _click(self, element: dict[str, str]) -> None:
        moves = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": element}},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "actions": moves})

    def _act(self, source: dict[str, Any]) -> None:
        self._firefox.call("input.performActions", context=self._context, actions=[source])

    def _element(self, locator: dict[str, Any]) -> dict[str, str]:
        """What BiDi calls the first such element by, once it is there, scrolled into view."""
        end = time.monotonic() + PATIENCE
        while not (nodes := self._located(locator)):
            assert time.monotonic() < end, f"no {locator}: {self.evaluate('document.body?.innerText')}"
            time.sleep(0.02)
        element = {"sharedId": nodes[0]["sharedId"]}
        self._firefox.call(
            "script.callFunction",
            functionDeclaration="element => element.scrollIntoView({block: 'center'})",
            arguments=[element],
            target={"context": self._context},
            awaitPromise=False,
        )
        return element

    def _located(self, locator: dict[str, Any]) -> Any:
        return self._firefox.call("browsingContext.locateNodes", context=self._context, locator=locator)["nodes"]


@pytest.fixture(scope="package")
def started_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """A real Firefox, the system's own."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        reason = "no Firefox on this machine: install the system's package `firefox-esr` to run the tests in it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with Firefox(program, tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


@pytest.fixture
def firefox(started_firefox: Firefox) -> Iterator[Firefox]:
    """That Firefox, whose console stays silent."""
    started_firefox.complaints.clear()
    yield started_firefox
    assert not started_firefox.complaints, "; ".join(started_firefox.complaints)
