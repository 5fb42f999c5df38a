"""What the benchmark stands on: the peers answer the same HTML, and the load client accepts nothing else."""

import importlib.util
from pathlib import Path

import pytest

NEEDED = ("psutil", "fastapi", "litestar", "flask", "django", "gunicorn", "jinja2")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"uv sync --group bench brings {', '.join(missing)}", allow_module_level=True)

from tests.engine.bench import building, dom, serving  # noqa: E402 (they need what is looked for above)
from tests.engine.bench.systems import LIMIT, Answer  # noqa: E402


@pytest.mark.parametrize("found", ["<p>b</p>", "<p id=x>a</p>", "<p>a</p><p></p>", "<p> a</p>", "<b>a</b>"])
def test_another_text_attribute_or_element_is_another_document(found: str) -> None:
    with pytest.raises(dom.Different):
        dom.assert_same("it", "<p>a</p>", found)


def test_another_spelling_is_the_same_document() -> None:
    dom.assert_same("it", '<p class="a" id="b">&quot;</p>', "<p id=b class='a'>&#34;</p>\n")


def test_the_build_in_each_way_gives_the_same_document(tmp_path: Path) -> None:
    assert "of Jinja2" in building.measure(tmp_path, rounds=1, repeats=1)


@pytest.mark.slow
def test_every_system_answers_the_same_document(tmp_path: Path) -> None:
    with serving.started(tmp_path) as running:
        assert len(running) >= 12


@pytest.mark.slow
def test_the_load_client_takes_no_other_answer_than_the_expected(tmp_path: Path) -> None:
    with serving.started(tmp_path, [LIMIT]) as [(server, answer)], serving.load_client(None) as client:
        assert client.load(server, answer, 0.1, 2)["rate"] > 0
        for other in (answer.body[1:], answer.body[:-1] + b" "):
            with pytest.raises(RuntimeError, match="expected"):
                client.load(server, Answer(200, [], other), 0.1, 2)
