// Tells the server what this page shows, over the socket of hx-ws; what comes back, htmx morphs into the page (morph.js).
(() => {
  "use strict";

  const ASK_AFTER = 20_000;
  const LOST_AFTER = 40_000;
  const LEAVING = 5_000;
  const CONNECTING = ":is([hx-ws-connect], [ws-connect], [hx-sse-connect], [sse-connect]):not([data-htmx-powered])";
  const root = document.documentElement;
  const connection = () => document.getElementById("connection");
  const isOpen = () => socket?.readyState === WebSocket.OPEN;
  // A page may have sockets of its own.
  const isLive = (event) => event.target.id === "live";
  let socket = null;
  let said = "";
  let heard = 0;
  let left = 0;

  function watch() {
    if (!isOpen()) return;
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
    if (!isLive(event)) return;
    socket = event.detail.connection.socket;
    said = "";
    heard = Date.now();
    if (root.dataset.connection !== "lost") root.dataset.connection = "open";
    connection()?.removeAttribute("data-version");
    watch();
  });
  document.addEventListener("htmx-ws-before-message-incoming", (event) => {
    if (isLive(event)) heard = Date.now();
  });
  document.addEventListener("htmx-ws-close", (event) => {
    if (!isLive(event)) return;
    if (!document.hidden) root.dataset.connection = "lost";
    leaveIfSignedOut();
  });
  // The answer to a form on its way may be what ended the session: it is shown, unless it is a download.
  addEventListener("beforeunload", () => {
    left = Date.now();
  });
  // Whoever is not signed in any more is shown the way in, and nothing of what the page has. A socket that is refused
  // closes without a reason (1006), as one does whose server is gone: so the server is asked.
  async function leaveIfSignedOut() {
    if (Date.now() - left < LEAVING) {
      setTimeout(leaveIfSignedOut, LEAVING);
      return;
    }
    const answer = await fetch("/connection", { headers: { "HX-Request": "true" } }).catch(() => null);
    if (answer?.status === 401) location.reload();
  }

  document.addEventListener("htmx-finally-swap", ({ detail: { ctx } }) => {
    watch();
    const isCaughtUp = !ctx.request && connection()?.dataset.version;
    if (root.dataset.connection !== "lost" || !isCaughtUp) return;
    root.dataset.connection = "back";
    setTimeout(() => {
      if (root.dataset.connection === "back") root.dataset.connection = "open";
    }, 3000);
  });

  // After a sleep, or when a network is gone, nobody says that the socket is dead: a page that has heard nothing asks.
  setInterval(() => {
    const quiet = Date.now() - heard;
    if (!isOpen() || quiet < ASK_AFTER) return;
    if (quiet > LOST_AFTER) {
      // A dead socket takes a minute to close; hx-ws takes the event for it.
      socket.dispatchEvent(new CloseEvent("close", { code: 1006 }));
    } else {
      connection()?.removeAttribute("data-version");
      watch();
    }
  }, 5000);

  // htmx may have looked at the page before its extensions were there to see it.
  document.addEventListener("DOMContentLoaded", () => {
    // After htmx itself, which waits as long: what it has seen is not begun twice.
    setTimeout(() => document.querySelectorAll(CONNECTING).forEach((each) => htmx.process(each)));
  });

  // With a socket the changes come by themselves; without one, what asks for them again still does.
  document.addEventListener("tasks-changed", (event) => {
    if (isOpen()) event.stopImmediatePropagation();
  }, true);
})();
