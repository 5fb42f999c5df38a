"""The settings: one record, the same from the command line and from the environment, checked at once."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from server.settings import LOG_LEVELS, PREFIX, Bytes, Settings, SettingsError, is_loopback, size


def test_without_a_choice_the_app_is_for_this_machine_alone() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 5001, Path("data"))
    assert (settings.workers, settings.reload, settings.open, settings.log_level) == (1, False, True, "info")


def test_every_setting_is_read_from_the_environment() -> None:
    given = {
        f"{PREFIX}HOST": "::1",
        f"{PREFIX}PORT": "8000",
        f"{PREFIX}DATA": "somewhere else",
        f"{PREFIX}WORKERS": "3",
        f"{PREFIX}SECURITY_CONTACT": "mailto:security@tasks.test",
        f"{PREFIX}RELOAD": "0",
        f"{PREFIX}OPEN": "no",
        f"{PREFIX}ALLOW_HOST": "tasks.test [fe80::1]",
        f"{PREFIX}PROXY_HEADERS": "1",
        f"{PREFIX}MAX_UPLOAD": "20M",
        f"{PREFIX}KEEP_COPIES": "7",
        f"{PREFIX}TLS": "1",
        f"{PREFIX}CERT": "cert.pem",
        f"{PREFIX}KEY": "key.pem",
        f"{PREFIX}HTTP2": "1",
        f"{PREFIX}EDITOR": "zed",
        f"{PREFIX}LOG_LEVEL": "debug",
        f"{PREFIX}LOG_FORMAT": "json",
    }
    assert set(given) == {PREFIX + field.name.upper() for field in fields(Settings)}
    assert Settings.from_environment(given) == Settings(
        host="::1",
        port=8000,
        data=Path("somewhere else"),
        workers=3,
        reload=False,
        open=False,
        allow_host=("tasks.test", "[fe80::1]"),
        proxy_headers=True,
        max_upload=Bytes(20 * 1024 * 1024),
        keep_copies=7,
        tls=True,
        cert=Path("cert.pem"),
        key=Path("key.pem"),
        http2=True,
        security_contact="mailto:security@tasks.test",
        editor="zed",
        log_level="debug",
        log_format="json",
    )


def test_what_is_empty_counts_as_absent() -> None:
    """An empty variable would otherwise make the present directory the data directory."""
    assert Settings.from_environment({PREFIX + field.name.upper(): "" for field in fields(Settings)}) == Settings()


def test_the_environment_of_others_is_left_alone() -> None:
    assert Settings.from_environment({"PORT": "80", "HOST": "0.0.0.0", PREFIX.lower() + "port": "80"}) == Settings()


@hypothesis.given(
    st.sampled_from(["127.0.0.1", "localhost", "::1", "127.8.9.1"]),
    st.integers(0, 65535),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(Path),
    st.integers(1, 64),
    st.booleans(),
    st.booleans(),
    st.lists(st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z0-9_]{1,9})?", fullmatch=True)).map(tuple),
    st.integers(1, 2**50).map(Bytes),
    st.booleans(),
    st.sampled_from(LOG_LEVELS),
)
def test_a_process_started_from_here_reads_the_same_settings(
    host: str,
    port: int,
    data: Path,
    workers: int,
    reload: bool,
    open: bool,
    allow_host: tuple[str, ...],
    max_upload: Bytes,
    tls: bool,
    log_level: str,
) -> None:
    settings = Settings(
        host=host,
        port=port,
        data=data,
        workers=1 if reload else workers,
        reload=reload,
        open=open,
        allow_host=allow_host,
        max_upload=max_upload,
        tls=tls,
        log_level=log_level,
    )
    assert Settings.from_environment(settings.to_environment()) == settings


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"port": -1}, ["--port", "0 to 65535", "-1"]),
        ({"port": 65536}, ["--port", "65536"]),
        ({"workers": 0}, ["--workers", "at least 1", "0"]),
        ({"workers": -2}, ["--workers", "-2"]),
        ({"workers": 2, "reload": True}, ["--reload", "one worker"]),
        ({"log_level": "loud"}, ["--log-level", "warning", "“loud”"]),
        ({"editor": "ed"}, ["--editor", "vscode", "{file}", "“ed”"]),
        ({"log_format": "xml"}, ["--log-format", "json", "“xml”"]),
        ({"allow_host": ("https://tasks.test",)}, ["--allow-host", "without scheme", "“https://tasks.test”"]),
        ({"allow_host": ("tasks.test:80",)}, ["--allow-host", "port", "“tasks.test:80”"]),
        ({"max_upload": 0}, ["--max-upload", "at least 1"]),
        ({"security_contact": "me@tasks.test"}, ["--security-contact", "mailto:", "“me@tasks.test”"]),
        ({"security_contact": "http://tasks.test"}, ["--security-contact", "https://"]),
        ({"security_contact": "mailto:a b"}, ["--security-contact", "“mailto:a b”"]),
        ({"security_contact": "mailto:ä@tasks.test"}, ["--security-contact"]),
        ({"cert": Path("cert.pem")}, ["--cert", "--key", "both"]),
    ],
)
def test_a_choice_that_cannot_be_used_is_refused_with_the_reason(choice: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings(**choice)
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (f"{PREFIX}PORT", "http", [f"{PREFIX}PORT", "whole number", "“http”"]),
        (f"{PREFIX}PORT", "5001.5", [f"{PREFIX}PORT", "“5001.5”"]),
        (f"{PREFIX}WORKERS", "many", [f"{PREFIX}WORKERS", "“many”"]),
        (f"{PREFIX}RELOAD", "maybe", [f"{PREFIX}RELOAD", "1 or 0", "“maybe”"]),
        (f"{PREFIX}OPEN", "2", [f"{PREFIX}OPEN", "“2”"]),
        (f"{PREFIX}PORT", "70000", ["65535", "70000"]),
        (f"{PREFIX}LOG_LEVEL", "INFO", ["“INFO”"]),
        (f"{PREFIX}MAX_UPLOAD", "a lot", [f"{PREFIX}MAX_UPLOAD", "bytes", "“a lot”"]),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(name: str, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment({name: text})
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "count"),
    [("500000", 500000), ("64K", 65536), ("20 MB", 20 * 1024**2), ("1g", 1024**3), ("1.5GiB", 3 * 1024**3 // 2)],
)
def test_a_size_is_read_as_people_write_it(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", "on"])
def test_a_switch_is_turned_on_in_words_too(text: str) -> None:
    assert Settings.from_environment({f"{PREFIX}RELOAD": text}).reload is True


@pytest.mark.parametrize("text", ["0", "false", "No", "OFF"])
def test_a_switch_is_turned_off_in_words_too(text: str) -> None:
    assert Settings.from_environment({f"{PREFIX}OPEN": text}).open is False


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "::1", "0:0:0:0:0:0:0:1"])
def test_only_programs_of_this_machine_reach_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.0", "::", "*", "", "192.168.1.2", "10.0.0.1", "128.0.0.1", "fe80::1", "[::1]"),
        *("example.com", "localhost.example.com", "127.0.0.1.example.com"),
    ],
)
def test_other_machines_reach_anything_else(host: str) -> None:
    assert not is_loopback(host)


def test_settings_do_not_change_while_the_app_runs() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 80  # type: ignore[misc]
