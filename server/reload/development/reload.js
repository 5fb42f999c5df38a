// Development only: follows the code. A new version morphs the page, a style is swapped alone, a failure lies above all.
(() => {
  "use strict";

  const root = document.documentElement;

  // There is no page below, only the failure: wait for other code, or for another failure since.
  if (root.hasAttribute("data-failed")) {
    const wait = () => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}/live`);
      socket.onmessage = ({ data }) => {
        const { reload, failure } = data.startsWith('{"reload"') ? JSON.parse(data) : {};
        if (reload === "failure") document.querySelector(".failure").outerHTML = failure;
        else if (reload === "code" || reload === "page") location.replace(location.href);
      };
      socket.onclose = ({ code }) => (code === 1012 ? location.replace(location.href) : setTimeout(wait, 300));
    };
    wait();
    return;
  }

  // Whether the code that this page hears from is newer than the failure that lies above it.
  let isMended = false;
  // Whether the connection was cut off without the word that other code serves.
  let isCutOff = false;

  function show(failure) {
    document.querySelectorAll(".failure").forEach((old) => old.remove());
    if (failure) root.insertAdjacentHTML("beforeend", failure);
  }

  const addresses = (page, selector, name) => [...page.querySelectorAll(selector)].map((each) => each.getAttribute(name));

  // An address as it is without the hash of the content.
  const plain = (address) => address.replace(/\.[0-9a-f]{12}(?=\.)/, "");

  // Styles that stood inline: a new text is another file, so which one took the place of which cannot be told.
  const INLINE = "head > link[rel=stylesheet][href^='/inline/']";

  function swapInlineStyles(page) {
    const wanted = [...page.querySelectorAll(INLINE)];
    const shown = [...document.querySelectorAll(INLINE)];
    if (addresses(page, INLINE, "href").join() === addresses(document, INLINE, "href").join()) return;
    document.head.append(...wanted.map((link) => document.importNode(link)));
    shown.forEach((link) => link.remove());
  }

  function swapStyles(wanted) {
    document.querySelectorAll("link[rel=stylesheet]:not([data-leaves])").forEach((old) => {
      if (old.matches(INLINE)) return;
      const address = wanted.find((each) => plain(each) === plain(old.getAttribute("href")));
      if (!address || address === old.getAttribute("href")) return;
      const link = old.cloneNode();
      link.href = address;
      // The old one stays until the new one is there, so that nothing flashes.
      link.addEventListener("load", () => {
        while (link.previousElementSibling?.hasAttribute("data-leaves")) link.previousElementSibling.remove();
      });
      old.dataset.leaves = "";
      old.after(link);
    });
  }

  function morph(target, text, swap) {
    htmx.swap({ text, target, sourceElement: target, swap });
  }

  // What a page shows around what is live: where that is as before, nothing moves.
  function around(page) {
    const body = page.body.cloneNode(true);
    body.querySelectorAll("[data-live], #toasts").forEach((each) => each.replaceWith(each.id));
    // What static/inline.js has set.
    body.querySelectorAll("[style]").forEach((each) => each.removeAttribute("style"));
    return body.innerHTML.replaceAll(' data-htmx-powered="true"', "");
  }
  let shown = around(document);
  // How often a style was swapped alone.
  let styled = 0;

  async function follow() {
    const before = styled;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Of a style that was swapped meanwhile it may know nothing.
    if (styled !== before) {
      follow();
      return;
    }
    const failure = page.querySelector(".failure");
    if (failure || isMended) show(failure?.outerHTML);
    isMended = false;
    if (failure) return;
    if (addresses(page, "script[src]", "src").join() !== addresses(document, "script[src]", "src").join()) {
      location.reload();
      return;
    }
    // An address that leads elsewhere by now, as `/` does to the first feature.
    if (answer.redirected) history.replaceState(history.state, "", answer.url);
    take(page);
  }

  function take(page) {
    swapStyles(addresses(page, "link[rel=stylesheet]", "href"));
    swapInlineStyles(page);
    document.title = page.title;
    // What is live follows by itself, with everything that it shows; what someone opened or was told stays.
    const kept = [...document.querySelectorAll("[data-live], #toasts")].filter(
      (each) => page.getElementById(each.id) && !each.hasAttribute("hx-morph-skip"),
    );
    if (around(page) !== shown) {
      shown = around(page);
      kept.forEach((each) => each.setAttribute("hx-morph-skip", ""));
      morph(document.body, page.body.innerHTML, "innerMorph");
      kept.forEach((each) => each.removeAttribute("hx-morph-skip"));
    }
    // Where the new page shows the same, it is here already, ahead of the socket.
    kept.forEach((each) => {
      const { outerHTML, dataset } = page.getElementById(each.id);
      const isNew = dataset.version && dataset.version !== each.dataset.version;
      if (isNew && dataset.live === each.dataset.live) morph(each, outerHTML, "outerMorph");
    });
  }

  // What of the page was refused, by the browser or before it was sent; so many things are told of one page.
  const MOST_REFUSED = 8;
  const refused = new Set();

  function tellRefused(words) {
    if (refused.has(words) || refused.size >= MOST_REFUSED) return;
    refused.add(words);
    let list = document.querySelector(".refused");
    if (!list) {
      list = document.createElement("details");
      list.className = "refused";
      list.append(document.createElement("summary"), document.createElement("ul"));
      root.append(list);
    }
    const line = document.createElement("li");
    line.textContent = words;
    list.lastChild.append(line);
    list.firstChild.textContent = `Left out of this page: ${refused.size}`;
  }

  function tellViolation({ blocked, effectiveDirective, sample, sourceFile, lineNumber }) {
    if (`${blocked} ${sourceFile}`.includes("-extension:")) return;
    const place = sourceFile ? `, in ${sourceFile}:${lineNumber}` : "";
    const begin = sample ? `, which begins with “${sample}”` : "";
    tellRefused(`The browser refused “${blocked}”${begin}${place}: ${effectiveDirective} of the policy forbids it.`);
  }

  document.addEventListener("securitypolicyviolation", (event) => {
    const { effectiveDirective, sample, sourceFile, lineNumber } = event;
    tellViolation({ blocked: event.blockedURI, effectiveDirective, sample, sourceFile, lineNumber });
  });
  // What was refused before this script came; not every browser keeps that.
  if (window.ReportingObserver) {
    const early = new ReportingObserver((reports) => {
      for (const { body } of reports) tellViolation({ ...body.toJSON(), blocked: body.blockedURL });
      early.disconnect();
    }, { types: ["csp-violation"], buffered: true });
    early.observe();
  }

  function lookForRefused() {
    for (const element of document.querySelectorAll("[data-refused]")) {
      const names = element.dataset.refused.replaceAll(" ", " and ");
      const what = element.localName === "template" ? `<${names}>` : `${names} of <${element.localName}>`;
      tellRefused(`${what} was put together at run time; the terminal says how it is written.`);
    }
  }
  lookForRefused();
  document.addEventListener("htmx-finally-swap", lookForRefused);

  const isLive = (event) => event.target.id === "live";

  document.addEventListener("htmx-ws-close", (event) => {
    if (!isLive(event)) return;
    const { detail } = event;
    // What is still broken is told again to who connects.
    show(null);
    if (detail.code === 1012) follow();
    else isCutOff = true;
  });
  // Whoever was cut off in another way may have another process before it, as after one that hung.
  document.addEventListener("htmx-ws-after-connection", (event) => {
    if (!isLive(event)) return;
    if (isCutOff) follow();
    isCutOff = false;
  });
  document.addEventListener("htmx-ws-before-message-incoming", (event) => {
    if (!isLive(event)) return;
    const text = event.detail.message.data;
    if (typeof text !== "string" || !text.startsWith('{"reload"')) {
      // What other code has drawn is seen at once with the failure going.
      if (isMended) show(null);
      return;
    }
    event.preventDefault();
    const { reload, failure, styles } = JSON.parse(text);
    if (reload === "code") {
      isMended = true;
      follow();
    } else if (reload === "failure") {
      isMended = false;
      show(failure);
    } else if (reload === "page") location.reload();
    else {
      styled += 1;
      swapStyles(styles);
    }
  });
})();
