// Tells the server what this page shows, over the socket of hx-ws; what comes back, htmx morphs into the page.
(() => {
  "use strict";

  const root = document.documentElement;
  let socket = null;
  let said = "";
  let awake = Date.now();

  function watch() {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const shown = [...document.querySelectorAll("[data-live]")].map((element) => ({
      id: element.id,
      url: element.dataset.live,
      version: element.dataset.version || null,
    }));
    const words = JSON.stringify({ watch: shown });
    if (words !== said) socket.send((said = words));
  }

  // A new socket knows nothing of what an older one was told. The last element is sent when all others are up to date.
  document.addEventListener("htmx-ws-after-connection", (event) => {
    socket = event.detail.connection.socket;
    said = "";
    if (root.dataset.connection !== "lost") root.dataset.connection = "open";
    document.getElementById("connection")?.removeAttribute("data-version");
    watch();
  });
  document.addEventListener("htmx-ws-close", () => {
    if (!document.hidden) root.dataset.connection = "lost";
  });

  document.addEventListener("htmx-finally-swap", ({ detail: { ctx } }) => {
    watch();
    const isCaughtUp = !ctx.request && document.getElementById("connection")?.dataset.version;
    if (root.dataset.connection !== "lost" || !isCaughtUp) return;
    root.dataset.connection = "back";
    setTimeout(() => {
      if (root.dataset.connection === "back") root.dataset.connection = "open";
    }, 3000);
  });

  // htmx may have looked at the page before hx-ws was there to see it.
  document.addEventListener("DOMContentLoaded", () => {
    const link = document.querySelector("[hx-ws-connect]");
    if (link) htmx.process(link);
  });

  // After a sleep the socket may be dead without anyone having said so.
  setInterval(() => {
    if (Date.now() - awake > 15000) socket?.close(1000);
    awake = Date.now();
  }, 5000);

  // With a socket the changes come by themselves; without one, what asks for them again still does.
  document.addEventListener("tasks-changed", (event) => {
    if (socket?.readyState === WebSocket.OPEN) event.stopImmediatePropagation();
  }, true);

  document.addEventListener("htmx-before-swap", ({ detail: { ctx, tasks } }) => {
    for (const task of [...tasks]) {
      const { target, fragment } = task;
      if (!target?.isConnected) continue;
      if (ctx.request) {
        // The answer may be older than what came meanwhile: ask for the present state.
        target.parentElement?.closest("[data-live]")?.removeAttribute("data-version");
        for (const element of fragment.querySelectorAll("[data-live]")) {
          const shown = document.getElementById(element.id);
          if (shown?.dataset.live === element.dataset.live) element.removeAttribute("data-version");
        }
      } else if (isOutdated(target, fragment) || !keepRows(target, fragment)) {
        tasks.splice(tasks.indexOf(task), 1);
      } else {
        // After each swap htmx gives the cursor to the first of these: once is enough.
        for (const field of target.querySelectorAll("[autofocus]")) field.removeAttribute("autofocus");
        for (const field of target.querySelectorAll("input[id], textarea[id]")) keepTyped(field, fragment);
      }
    }
  });

  // What was sent for the address that an element had before the person went on to another.
  function isOutdated(target, fragment) {
    const address = fragment.getElementById(target.id)?.dataset.live;
    return address !== undefined && address !== target.dataset.live;
  }

  // A row that someone is writing in stays, at the end of a list that does not have it any more; without a list, all stays.
  function keepRows(target, fragment) {
    return [...target.querySelectorAll("[hx-morph-skip]")].every((row) => {
      if (!fragment.getElementById(row.id)) fragment.getElementById(row.parentElement.id)?.append(row.cloneNode(false));
      return fragment.getElementById(row.id) !== null;
    });
  }

  // A field that both sides have changed keeps what the person typed, and says what the others have.
  function keepTyped(field, fragment) {
    const other = fragment.getElementById(field.id);
    if (!other || field.value === field.defaultValue || other.defaultValue === field.defaultValue) return;
    const theirs = other.defaultValue;
    other.defaultValue = field.defaultValue;
    if (theirs === field.value || field.dataset.theirs === theirs) return;
    field.dataset.theirs = theirs;
    document.dispatchEvent(new CustomEvent("toast", { detail: `Changed elsewhere to “${theirs}”. Your text was kept.` }));
  }

  // What came may have taken away the row that an answer is for: the other parts of the answer, such as a toast, count.
  document.addEventListener("htmx-after-request", ({ detail: { ctx } }) => {
    if (ctx.target?.isConnected === false) Object.assign(ctx, { target: document.body, swap: "none" });
  });
})();
