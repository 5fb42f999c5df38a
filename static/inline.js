// Scripts and styles that stood inline in the source (templates/parts/inline_code.py): the policy allows none on the page, so they
// are files. Here they are loaded, and given to the elements that need them, whenever these come onto the page.
(() => {
  "use strict";

  const HANDLERS = "data-inline";
  const STYLE = "data-inline-style";
  const PROPERTIES = "data-inline-properties";
  const MARKED = `[${HANDLERS}],[${STYLE}],[${PROPERTIES}]`;
  const REFERENCE = /@([0-9a-f]{24})\b/;
  // By the hash of its file: the function that is in it, once it is there, and the loading of it.
  const functions = new Map();
  const loadings = new Map();

  // Each file calls this with what it holds.
  window.inlineCode = {
    take(script, code) {
      functions.set(script.src.match(/([0-9a-f]{24})\.js$/)[1], code);
    },
  };

  function load(hash) {
    if (!loadings.has(hash)) loadings.set(hash, new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `/inline/${hash}.js`;
      script.onload = () => {
        script.remove();
        if (functions.has(hash)) done(functions.get(hash));
        else failed(new Error(`${script.src} has a mistake in it.`));
      };
      script.onerror = () => {
        script.remove();
        loadings.delete(hash);
        failed(new Error(`${script.src} could not be loaded.`));
      };
      document.head.append(script);
    }));
    return loadings.get(hash);
  }

  // As an event handler of HTML: false cancels. The first click may come before the file does.
  function handle(element, name, event) {
    const token = element.getAttribute(HANDLERS)?.split(" ").find((each) => each.startsWith(`${name}:`));
    if (!token) return undefined;
    const hash = token.slice(name.length + 1);
    if (functions.has(hash)) return functions.get(hash).call(element, event);
    load(hash).then((code) => code.call(element, event));
    return undefined;
  }

  function give(element) {
    for (const token of element.getAttribute(HANDLERS)?.split(" ") ?? []) {
      const [hash, name] = token.split(":").reverse();
      load(hash).catch((error) => console.error(error.message));
      if (!name) continue;
      if (name in element) element[name] = (event) => handle(element, name, event);
      else if (!element._inline?.has(name)) {
        (element._inline ??= new Set()).add(name);
        element.addEventListener(name.slice(2), (event) => {
          if (handle(element, name, event) === false) event.preventDefault();
        });
      }
    }
    if (element.hasAttribute(STYLE)) restyle(element);
    else if (element.hasAttribute(PROPERTIES)) setProperties(element);
  }

  function restyle(element) {
    element.style.cssText = element.getAttribute(STYLE) ?? "";
    setProperties(element);
  }

  // The value of a property stays within it, whatever it says: that is what these are for.
  function setProperties(element) {
    for (const name of element.getAttribute(PROPERTIES)?.split(" ") ?? []) {
      element.style.setProperty(name, element.getAttribute(`data-style-${name}`));
    }
  }

  function look(root) {
    if (root.matches?.(MARKED)) give(root);
    root.querySelectorAll?.(MARKED).forEach(give);
  }

  new MutationObserver((changes) => {
    for (const { type, target, addedNodes, attributeName } of changes) {
      if (type === "childList") addedNodes.forEach(look);
      else if (attributeName === HANDLERS) give(target);
      else restyle(target);
    }
  }).observe(document, { subtree: true, childList: true, attributeFilter: [HANDLERS, STYLE, PROPERTIES] });
  look(document.documentElement);
  // A morph may have changed values alone.
  document.addEventListener("htmx-finally-swap", () => document.querySelectorAll(`[${PROPERTIES}]`).forEach(setProperties));

  // What htmx would have evaluated: its attributes hold the hash of the code. It names what the code may use.
  function stored(isAsync) {
    return function (...names) {
      const body = names.pop();
      const hash = body.match(REFERENCE)?.[1];
      return {
        call(element, ...values) {
          const scope = Object.fromEntries(names.map((name, place) => [name, values[place]]));
          if (!hash) {
            console.error(`Code that was put together at run time is not run: ${body}`);
            return isAsync ? Promise.resolve() : undefined;
          }
          const code = functions.get(hash);
          if (code) return isAsync ? Promise.resolve(code.call(element, scope)) : code.call(element, scope);
          const loading = load(hash).then((loaded) => loaded.call(element, scope));
          return isAsync ? loading : undefined;
        },
      };
    };
  }

  // Attributes are inherited (implicitInheritance), but for those that open a connection: whatever came into the element
  // that has one would open its own.
  function open(api) {
    const { attributeValue } = api;
    api.attributeValue = (element, name, otherwise, collect, inherits) =>
      attributeValue(element, name, otherwise, collect, /^hx-(ws|sse):/.test(name) ? false : inherits);
    api.initSecurity(null, stored(false), stored(true));
  }

  htmx.registerExtension("inline", { init: open });
})();
