"""The list in Litestar with Jinja2."""

from datetime import date

from litestar import Litestar, get
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from tests.engine.bench.peers.jinja import environment
from tests.engine.bench.peers.tasks import connect, count_tasks, first_page

connection = connect()


@get("/tasks", sync_to_thread=False)
def list_tasks() -> Template:
    """The newest tasks."""
    tasks, more = first_page(connection)
    context = {"tasks": tasks, "more": more, "counts": count_tasks(connection), "today": date.today()}
    return Template("tasks.html", context=context, media_type="text/html")


app = Litestar([list_tasks], template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment)))
