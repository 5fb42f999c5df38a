"""Who is told of a security problem: to everybody, where somebody has said so, and never anybody else."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from app.pages.security_txt import PATH
from server.app_name import PREFIX
from tests.engine.conftest import PLAIN, Server


def test_a_contact_that_was_named_is_told_to_everybody_with_a_date_to_come(tmp_path: Path) -> None:
    server = Server(
        tmp_path / "data",
        "--proxy-headers",
        "--security-contact",
        "mailto:security@tasks.test",
    )
    try:
        with httpx.Client(base_url=server.url, headers={"X-Forwarded-For": "192.0.2.1"}, **PLAIN) as client:
            assert client.get("/tasks").status_code == 401
            answer = client.get(PATH)
            assert client.head(PATH).status_code == 200
            assert client.post(PATH).status_code in (403, 405)
    finally:
        server.stop()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@tasks.test"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", fields["Expires"])
    left = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert timedelta(days=178) < left < timedelta(days=365)


def test_where_none_was_named_there_is_no_such_file_and_it_is_said_how_to(client: httpx.Client) -> None:
    answer = client.get(PATH, headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert "--security-contact" in answer.json()["message"]


def test_the_environment_names_one_too(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", environment={f"{PREFIX}SECURITY_CONTACT": "https://tasks.test/report"})
    try:
        assert "Contact: https://tasks.test/report\n" in httpx.get(server.url + PATH, **PLAIN).text
    finally:
        server.stop()
