// What a morph leaves alone: the row that someone writes in, the text that they typed, and what is newer than an answer.
(() => {
  "use strict";

  document.addEventListener("htmx-before-swap", ({ detail: { ctx, tasks } }) => {
    for (const task of [...tasks]) {
      const { target, fragment } = task;
      if (!target?.isConnected) continue;
      if (ctx.request) askAgain(target, fragment);
      else if (isOutdated(target, fragment) || !keepRows(target, fragment)) tasks.splice(tasks.indexOf(task), 1);
      else keepFields(target, fragment);
    }
  });

  // What came may have taken away the row that an answer is for: the other parts of the answer, such as a toast, count.
  document.addEventListener("htmx-after-request", ({ detail: { ctx } }) => {
    if (ctx.target?.isConnected === false) Object.assign(ctx, { target: document.body, swap: "none" });
  });

  // The answer to a request may be older than what came meanwhile: without its version, the present state is sent.
  function askAgain(target, fragment) {
    target.parentElement?.closest("[data-live]")?.removeAttribute("data-version");
    for (const element of fragment.querySelectorAll("[data-live]")) {
      const shown = document.getElementById(element.id);
      if (shown?.dataset.live === element.dataset.live) element.removeAttribute("data-version");
    }
  }

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

  function keepFields(target, fragment) {
    // After each swap htmx gives the cursor to the first of these: once is enough.
    for (const field of target.querySelectorAll("[autofocus]")) field.removeAttribute("autofocus");
    for (const field of target.querySelectorAll("input[id], textarea[id]")) keepTyped(field, fragment);
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
})();
