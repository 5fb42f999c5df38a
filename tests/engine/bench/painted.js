// Put into each page of the reload benchmark ahead of its own scripts: says when what was saved is about to be painted.
(() => {
  "use strict";

  const seen = {};

  function say(kind, value) {
    said(kind, value, performance.timeOrigin + performance.now());
  }

  function note(kind, value) {
    if (value === undefined || seen[kind] === value) return;
    seen[kind] = value;
    requestAnimationFrame(() => say(kind, value));
  }

  function look() {
    note("template", document.querySelector("#tasks .overdue")?.textContent.match(/edit-\d+/)?.[0]);
    note("route", document.querySelector("#tasks .count")?.textContent);
    note("failure", document.querySelector(".failure") ? "shown" : "gone");
  }

  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });

  document.addEventListener("load", ({ target }) => {
    if (target.tagName !== "LINK") return;
    requestAnimationFrame(() => say("style", getComputedStyle(document.body).scrollMarginTop));
  }, true);

  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      this.addEventListener("open", () => say("socket", "open"));
      this.addEventListener("close", () => say("socket", "closed"));
    }
  };
})();
