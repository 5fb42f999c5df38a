"""Routes as FastHTML's documentation and its gallery write them, each in a few lines: the module that a project has them in.

The tests copy it into `app/` of a project; `docs/fasthtml.md` says which of them had to be written otherwise, and why.
"""
# ruff: noqa: F403, F405, F811, C408, RET503, E501, ANN, PLW0603
# mypy: ignore-errors

import asyncio
from dataclasses import dataclass
from datetime import date
from itertools import count

from fasthtml.common import *
from fasthtml.pico import *
from fasthtml.svg import *

from app.database.db import db
from app.pages.responses import answer, head
from server.fragments import fragment
from templates.parts import tags
from templates.parts.live import live

rt = APIRouter()


# 1. The first page, and a fragment in its place.
@rt("/hello")
def get():
    return Titled("Hello", P("Click me", id="greeting", hx_get="/changed", hx_swap="outerHTML"))


@rt("/changed")
def get():
    return P("Nice to meet you", id="greeting")


# 2. A counter.
clicks = 0


@rt
def counter():
    return Titled("Counter", P(clicks, id="clicks"), Button("Count", hx_post=increment, target_id="clicks"))


@rt
def increment():
    global clicks
    clicks += 1
    return clicks


# 3. What a parent says holds for its children.
@rt
def menu():
    links = [A(name, hx_get=f"/course/{name}") for name in ("Soup", "Salad")]
    return Titled("Menu", Nav(*links, hx_target="#course", hx_swap="innerHTML"), Div(id="course"))


@rt("/course/{name}")
def course(name: str):
    return Strong(f"{name}, please")


# 4. A list with cards, a form that empties itself, and rows that go.
@dataclass
class Todo:
    id: int
    title: str

    def __ft__(self):
        remove = Button("Done", hx_delete=f"/todos/{self.id}", hx_swap="outerHTML", target_id=f"todo-{self.id}")
        return Li(self.title, remove, id=f"todo-{self.id}")


numbers, todos = count(2), [Todo(1, "Read the tutorial")]


def title_field(**attributes):
    return Input(id="new-todo", name="title", placeholder="What is to be done?", **attributes)


@rt("/todos")
def get():
    add = Form(Group(title_field(), Button("Add")), hx_post="/todos", target_id="todos", hx_swap="beforeend")
    return Titled("Todos", Card(Ul(*todos, id="todos"), header=add, footer=Small("Saved nowhere")))


@rt("/todos")
def post(title: str):
    todos.append(todo := Todo(next(numbers), title))
    return todo, title_field(hx_swap_oob="true")


@rt("/todos/{id}")
def delete(id: int):
    todos[:] = [each for each in todos if each.id != id]


# 5. A form that is a dataclass, filled in.
@dataclass
class Profile:
    name: str
    age: int
    born: date = None
    is_member: bool = False


profile = Profile("Ada", 36)


@rt("/profile")
def get():
    fields = Input(name="name"), Input(name="age", type="number"), Input(name="born", type="date")
    form = Form(method="post", action="/profile")(*fields, CheckboxX(name="is_member", label="Member"), Button("Save"))
    return Titled("Profile", fill_form(form, profile))


@rt("/profile")
def post(sent: Profile):
    return Titled("Saved", P(f"{sent.name} {sent.age} {sent.born} {sent.is_member}", id="saved"))


# 6. Parameters of path, query and header, with types.
@rt("/item/{name}/{size}")
def item(name: str, size: int, tag: list[str], on: date = date(2026, 1, 2), user_agent: str = ""):
    return dict(name=name, size=size + 1, tags=tag, on=str(on), browser="Mozilla" in user_agent)


# 7. A session and a cookie.
@rt
def visits(session):
    session["visits"] = session.get("visits", 0) + 1
    return cookie("seen", "yes"), P(f"Visit {session['visits']}", id="visits")


# 8. A guard before a route, by app.before in app/main.py.
def only_members(req, session):
    if not session.get("member"):
        return RedirectResponse("/hello", status_code=303)


@rt("/join")
def get(session):
    session["member"] = True
    return Redirect("/members")


@rt
def members():
    return P("Inside", id="inside")


# 9. A redirect for a browser and for htmx.
@rt
def leave():
    return Titled("Leave", Button("Go", hx_get="/gone"))


@rt
def gone():
    return Redirect("/hello")


# 10. Headers for htmx: an event and another address.
@rt
def events():
    place = P("waiting", id="heard", hx_get="/heard", hx_trigger="rang from:body")
    return Titled("Events", Button("Ring", hx_get="/ring", hx_swap="none"), place)


@rt
def ring():
    return HtmxResponseHeaders(trigger="rang"), HtmxResponseHeaders(push_url="/events?rang=1")


@rt
def heard():
    return "heard it"


# 11. A component of one's own, and FT in an answer with a status.
def Hero(title, *content, **attributes):
    return Section(H1(title), *content, cls="hero", **attributes)


@rt
def hero():
    return FtResponse(Hero("Big", P("small", cls="word")), status_code=404, headers={"x-answer": "hero"})


# 12. Toasts, by setup_toasts(app) in app/main.py.
@rt
def toast(session):
    add_toast(session, "It is <done>", "success", dismiss=True)
    return Titled("Toast", P("below"))


# 13. A chat over a WebSocket.
everybody = {}


def on_connect(ws, send):
    everybody[id(ws)] = send


def on_disconnect(ws):
    everybody.pop(id(ws), None)


@rt
def chat():
    form = Form(Input(id="message", name="message"), Button("Send"), hx_ws_send=True)
    return Titled("Chat", Div(Ul(id="messages"), form, hx_ws_connect="/chat-ws"))


@rt
def chatting():
    return str(len(everybody))


async def on_message(message: str, send):
    for each in list(everybody.values()):
        await each(Div(Li(message, style="color: rgb(0, 0, 99)"), hx_swap_oob="beforeend:#messages"))


rt.ws("/chat-ws", conn=on_connect, disconn=on_disconnect)(on_message)


# 14. Messages that the server sends on.
@rt
def ticker():
    extension = Script(src="/static/vendor/hx-sse.min.js", defer=True)
    return Titled("Ticker", extension, Div(hx_sse_connect="/ticks", hx_swap="beforeend", id="ticks"))


@rt
async def ticks():
    async def messages():
        for number in range(3):
            yield sse_message(P(f"tick {number}", cls="tick"))
            await asyncio.sleep(0.02)
        await asyncio.sleep(60)

    return EventStream(messages())


# 15. A file is uploaded.
@rt("/upload")
def get():
    form = Form(Input(type="file", name="file"), Button("Send"), hx_post="/upload", hx_target="#uploaded")
    return Titled("Upload", form, Div(id="uploaded"))


@rt("/upload")
async def post(file: UploadFile):
    content = await file.read()
    return Card(header=file.filename)(P(f"{len(content)} bytes", id="size"))


# 16. More rows as they are scrolled to.
def some_rows(page):
    rows = [Tr(Td(f"Row {page * 30 + number}"), style="height: 40px") for number in range(30)]
    rows[-1].attrs.update({"hx-get": f"/rows/{page + 1}", "hx-trigger": "revealed", "hx-swap": "afterend"})
    return tuple(rows)


@rt
def scroll():
    return Titled("Scroll", Table(Tbody(*some_rows(0))))


@rt("/rows/{page}")
def rows(page: int):
    return some_rows(page)


# 17. One choice decides the next, and a field is checked while it is filled in.
CITIES = {"France": ["Paris", "Lyon"], "Peru": ["Lima", "Cusco"]}


@rt
def choose():
    countries = Select(*map(Option, CITIES), name="country", hx_get="/cities", hx_target="#city", id="country")
    email = Div(
        Input(name="email", id="email", hx_post="/check", hx_target="#problem", hx_trigger="blur"), P(id="problem")
    )
    return Titled("Choose", countries, Select(*map(Option, CITIES["France"]), id="city", name="city"), email)


@rt
def cities(country: str):
    return tuple(map(Option, CITIES[country]))


@rt("/check")
def post(email: str):
    return "" if "@" in email else "An address has an @ in it"


# 18. Scripts, styles and handlers that stand in the page.
LOOK = ".lit { background-color: rgb(255, 255, 0) }"


@rt
def inline():
    return Titled(
        "Inline",
        Style(LOOK),
        Button("Open", onclick="document.getElementById('box').showModal()", id="open"),
        Dialog(P("I am open"), Button("Close", onclick="this.closest('dialog').close()"), id="box"),
        Button("Light", hx_on_click="this.classList.toggle('lit')", id="light", style="border: 3px solid rgb(1, 2, 3)"),
        Button("Fetch", hx_get="/late", hx_target="#late", hx_on__after_request="window.fetched = 1", id="fetch"),
        Div(id="late"),
        Script("htmx.onLoad(element => { window.loads = (window.loads || 0) + 1 })"),
        Script("import('/static/app.js'); window.isModule = true", type="module"),
    )


@rt
def late():
    return (
        Button("Late", onclick="this.textContent = 'pressed'", id="pressed", style="color: rgb(3, 2, 1)"),
        Style("#pressed { margin-left: 7px }"),
        Script("window.lateScript = true"),
    )


# 19. Looked at again and again, and loaded when the page is there.
polls = count(1)


@rt
def poll():
    return Titled(
        "Poll", P("0", hx_get="/polled", hx_trigger="every 50ms", id="poll"), Div(hx_get="/lazy", hx_trigger="load")
    )


@rt
def polled():
    return next(polls)


@rt
def lazy():
    return P("came later", id="lazy")


# 20. A drawing that answers to clicks.
@rt
def drawing():
    svg = Svg(viewBox="0 0 40 40", width=200, height=200, id="svg")
    circle = Circle(20, cx=20, cy=20, fill="red", hx_get="/drawn", hx_target="#svg", hx_swap="beforeend", id="circle")
    return Titled("Drawing", svg(circle))


@rt
def drawn():
    return SvgInb(Rect(5, 5, fill="blue", id="rect"))


# 21. A search as one types, with a condition and a value of the page.
@rt
def search():
    field = Input(
        name="q",
        id="q",
        hx_get="/found",
        hx_trigger="keyup[key=='Enter']",
        hx_target="#found",
        hx_vals="js:{width: window.innerWidth}",
    )
    return Titled("Search", field, P(id="found"))


@rt
def found(q: str, width: int):
    return f"{q} at {width}"


# 22. Parts of one answer in two places.
@rt
def parts():
    return Titled("Parts", Button("Both", hx_get="/both", hx_target="#one"), P(id="one"), P(id="two"))


@rt
def both():
    return "first", HxPartial("second", hx_target="#two")


# 23. What is left out, as it was put together: the second is how it is written.
@rt
def unsafe(name: str = "x"):
    return Titled(
        "Unsafe",
        Button("Say", onclick=f"document.title = '{name}'", id="put-together"),
        Button("Say", onclick="document.title = this.dataset.name", data_name=name, id="constant"),
        Script(f"window.name1 = '{name}'"),
        Script("window.name2 = document.getElementById('constant').dataset.name"),
        Div(style=f"width: {len(name)}px", id="wide"),
        Div(data_style_width=f"{len(name)}px", id="narrow"),
    )


# 24. HTML that is written by hand keeps what the browser then refuses.
@rt
def raw():
    return Titled("Raw", NotStr("<button onclick='window.ran = 1'>Raw</button>"))


# 25. A live fragment, whose handlers and styles come over the socket.
@rt
@fragment
async def board(request):
    total = (await db.read("SELECT count(*) AS total FROM tasks"))[0]["total"]
    look = {"style": "color: rgb(7, 7, 7)", "data_style_order": total}
    numbers = [tags.Button(f"Number {each}", onclick="this.textContent = 'pressed'", **look) for each in range(total)]
    return answer(request, "Board", live(tags.Section, numbers, id="board", url="/board"))


# 27. Components of Pico, addresses from functions, and what goes on after the answer.
noted = []


@rt("/more/{name}")
def more(name: str, size: int = 1):
    return P(f"{name} {size}", id="more")


@rt
def components():
    link = A("More", href=more.to(name="x", size=3), id="link")
    dialog = DialogX(P("inside"), header="Head", id="dialog", open=True)
    return Titled("Components", Grid(Div("a"), Div("b")), link, dialog), BackgroundTask(noted.append, "noted")


@rt
def plain():
    return to_xml(Ul(Li(each) for each in noted), indent=False)


# 26. A route with a page of its own around it.
@rt
def whole():
    return Html(Head(Title("Whole"), *head()), Body(P("mine", style="color: rgb(0, 99, 0)", id="mine")))
