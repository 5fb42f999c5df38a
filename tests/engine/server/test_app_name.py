"""The name is the same in the few places that cannot read it from one."""

import re
import tomllib

from server.app_name import NAME, PREFIX, SLUG
from templates import layout
from tests.engine.conftest import ROOT


def test_all_places_say_the_same_name() -> None:
    assert layout.NAME == NAME
    assert f'\nNAME = "{NAME}"\n' in (ROOT / "server.py").read_text(encoding="utf-8")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == SLUG
    own = [
        package["name"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
        if package["source"] == {"virtual": "."}
    ]
    assert own == [SLUG]
    assert (ROOT / "README.md").read_text(encoding="utf-8").startswith(f"# {NAME}\n")
    assert f">{NAME[0].upper()}</text>" in (ROOT / "static/icon.svg").read_text(encoding="utf-8")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*_", PREFIX)
