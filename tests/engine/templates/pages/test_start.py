"""The page of an app without a feature says the one command that makes one."""

import html5lib

from server.commands.specimen_text import TYPES
from templates.pages.start import COMMAND, READ_ON, start_page
from tests.engine.conftest import ROOT


def test_it_has_the_command_to_copy_and_the_types_of_fields() -> None:
    page = html5lib.parseFragment(start_page("My <App>"), namespaceHTMLElements=False)
    assert page.findtext(".//h1") == "My <App> is ready for its first feature"
    command = page.find(".//pre[@id='command']")
    assert "".join(command.itertext()) == COMMAND
    assert page.find(".//button").get("data-copy") == "command"
    assert [code.text for code in page.findall(".//p/code")] == [*TYPES]


def test_what_it_says_to_read_is_there() -> None:
    for where in READ_ON:
        assert where.startswith("python3 server.py ") or (ROOT / where).exists()
