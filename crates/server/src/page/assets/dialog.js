// Questions in front of the page: the browser's own <dialog>, which keeps the focus inside and
// closes by Escape.

import { button, element } from "./dom.js";

/**
 * Asks with a form. `fields` are elements; `submit` gets the form's data and may throw, which
 * is shown and leaves the dialog open. Answers what `submit` answered, or null if it was
 * cancelled.
 */
export function ask({ title, fields, action, danger = false, submit }) {
  return new Promise((resolve) => {
    const wrong = element("p", { class: "wrong", role: "alert", hidden: true });
    const yes = element("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
    const form = element(
      "form",
      { method: "dialog" },
      element("h2", { id: "dialog-title" }, title),
      fields,
      wrong,
      element(
        "div",
        { class: "row end" },
        button("Cancel", () => dialog.close()),
        yes,
      ),
    );
    const dialog = element("dialog", { "aria-labelledby": "dialog-title" }, form);
    let answer = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      yes.disabled = true;
      wrong.hidden = true;
      try {
        answer = await submit(new FormData(form));
        dialog.close();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
      } finally {
        yes.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A field with its label and a hint. */
export function field(label, control, hint = null) {
  const about = hint === null ? null : element("small", {}, hint);
  return element("label", { class: "field" }, element("span", {}, label), control, about);
}

export function choice(name, options, chosen) {
  const made = options.map(([value, label]) =>
    element("option", { value, selected: value === chosen }, label),
  );
  return element("select", { name }, made);
}
