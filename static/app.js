// What HTML and htmx leave: the person's time zone, keys, closing a toast, copying, and a word when the server cannot be
// reached.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`timezone=${zone}`)) {
    document.cookie = `timezone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  // What the link held stays neither in the address bar nor in the history. A link for once takes no click.
  if (location.pathname === "/sign-in" && location.search) history.replaceState(null, "", "/sign-in");
  document.addEventListener("DOMContentLoaded", () => document.querySelector("form[data-sent-at-once]")?.requestSubmit());

  // An element with data-key is reached with that key: a field gets the cursor, a link or button is pressed.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.closest("input, textarea, select");
    if (typing && event.key !== "Escape") return;
    const scope = typing?.closest("form") ?? document;
    const element = scope.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!element) return;
    event.preventDefault();
    if (element.matches("input")) element.focus();
    else element.click();
  });

  document.addEventListener("click", (event) => {
    event.target.closest("[data-close]")?.closest(".toast")?.remove();
  });

  // A button with data-copy copies the text of the element of that id, which is marked too: over http a page of another
  // machine may not write to the clipboard, and then Ctrl-C does.
  document.addEventListener("click", async (event) => {
    const from = document.getElementById(event.target.closest("[data-copy]")?.dataset.copy);
    if (!from) return;
    getSelection().selectAllChildren(from);
    await navigator.clipboard?.writeText(from.textContent);
    if (navigator.clipboard) say("Copied.", "note");
  });

  function say(words, kind) {
    const toast = document.createElement("div");
    toast.className = `toast ${kind}`;
    toast.textContent = words;
    document.getElementById("toasts").replaceChildren(toast);
  }

  document.addEventListener("htmx-error", (event) => {
    if (event.detail.error?.name !== "TypeError") return;
    say("The server cannot be reached. Nothing was changed; try again when it is back.", "error");
  });
  document.addEventListener("toast", (event) => say(event.detail, "note"));
})();
