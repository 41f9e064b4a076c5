// Elements. The one place that makes them, so that nobody else has to be careful: texts become
// text nodes, and there is no way to give markup.

/** An element with attributes, listeners (`on: {click}`) and children: nodes or text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value === true) {
      made.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(label, click, attributes = {}) {
  return element("button", { type: "button", on: { click }, ...attributes }, label);
}

/** Sets a text only if it is another one: selections and screen readers stay undisturbed. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, and keeps the elements of those that stay,
 * with their focus. `make(item)` makes an element, `update(element, item)` fills it.
 */
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = key;
    }
    old.delete(key);
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}

/** A row of a table whose cells know their column's name, for narrow screens. */
export function row(labels, cells, attributes = {}) {
  const made = cells.map((cell, column) => {
    const { node, ...rest } =
      cell instanceof Node || typeof cell === "string" ? { node: cell } : cell;
    return element("td", { role: "cell", "data-label": labels[column], ...rest }, node ?? "");
  });
  return element("tr", { role: "row", ...attributes }, made);
}

/** A table with its head and an empty body. */
export function table(caption, columns) {
  const heads = columns.map((column) => {
    const { label, ...rest } = typeof column === "string" ? { label: column } : column;
    return element("th", { scope: "col", role: "columnheader", ...rest }, label);
  });
  const body = element("tbody", { role: "rowgroup" });
  const node = element(
    "table",
    { role: "table", class: caption.toLowerCase() },
    element("caption", {}, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
    body,
  );
  return { node, body };
}

/** Says something in the corner; errors stay until they are closed. */
export function notify(message, isError = false) {
  const notice = element("div", {
    class: isError ? "notice bad" : "notice",
    role: isError ? "alert" : null,
  });
  notice.append(
    element("span", {}, message),
    button("Close", () => notice.remove(), { class: "quiet" }),
  );
  const notices = document.querySelector("#notices");
  notices.append(notice);
  while (notices.children.length > 4) notices.firstElementChild.remove();
  if (!isError) setTimeout(() => notice.remove(), 5000);
}
