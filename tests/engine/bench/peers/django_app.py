"""The list in Django: its ORM, its templates, in one file."""

from datetime import date
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from tests.engine.bench.peers.tasks import DATABASE, PAGE_ROWS, STATUSES, due_label

settings.configure(
    DEBUG=False,
    SECRET_KEY="only for the benchmark",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    # Those of `startproject` without accounts, sessions and CSRF: the peers have none of these.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    # Connections stay open.
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE, "CONN_MAX_AGE": None}},
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent / "templates"]}
    ],
    USE_I18N=False,
)
django.setup()


class Task(models.Model):
    """A task."""

    title = models.TextField()
    notes = models.TextField()
    due = models.DateField(null=True)
    done = models.BooleanField()

    class Meta:
        """The table is there already."""

        app_label = "tasks"
        db_table = "tasks"
        managed = False


class TaskCount(models.Model):
    """How many tasks are open, or done."""

    done = models.BooleanField(primary_key=True)
    tasks = models.IntegerField()

    class Meta:
        """The table is there already."""

        app_label = "tasks"
        db_table = "task_counts"
        managed = False


def list_tasks(request: HttpRequest) -> HttpResponse:
    """The newest tasks."""
    newest = Task.objects.order_by("-id").values("id", "title", "due", "done", has_notes=~models.Q(notes=""))
    tasks = list(newest[: PAGE_ROWS + 1])
    today = date.today()
    for task in tasks:
        task["label"] = due_label(task["due"], task["done"], today) if task["due"] else None
        task["due"] = task["due"] and task["due"].isoformat()
    context = {"tasks": tasks[:PAGE_ROWS], "more": len(tasks) > PAGE_ROWS, "tabs": tabs()}
    return render(request, "tasks.django.html", context)


def tabs() -> list[dict[str, Any]]:
    """The statuses with their counts."""
    counts = dict(TaskCount.objects.values_list("done", "tasks"))
    numbers = {"all": sum(counts.values()), "open": counts[False], "done": counts[True]}
    return [
        {
            "url": "/tasks" if status == "all" else f"/tasks?status={status}",
            "current": status == "all",
            "name": name,
            "count": f"{numbers[status]:,}",
        }
        for status, name in STATUSES.items()
    ]


urlpatterns = [path("tasks", list_tasks)]
app = get_wsgi_application()
