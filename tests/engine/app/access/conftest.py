"""What the tests of who may come in share: a server that other machines could reach."""

from collections.abc import Iterator

import httpx
import pytest

from server.app_name import PREFIX
from server.sharing.sign_in_token import read
from tests.engine.server.test_run import Running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Told to listen to all machines; for the tests it is bound to this one."""
    running = Running(
        *("-m", "uvicorn", "app.main:app", "--port", "0"),
        data=tmp_path_factory.mktemp("shared") / "data",
        **{f"{PREFIX}HOST": "0.0.0.0"},
    )
    yield running
    running.end_anyhow()


@pytest.fixture
def person(shared: Running) -> Iterator[httpx.Client]:
    """Somebody who has just signed in, with Firefox."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    with shared.client(headers={"User-Agent": agent}) as client:
        assert client.post("/sign-in", data={"token": read(shared.data)}).status_code == 303
        yield client
