// What can be done with a sandbox as a whole: more time, pause, resume, delete.

import { ask, choice, field } from "./dialog.js";
import { button, element, notify, put } from "./dom.js";
import { call } from "./server.js";
import { clock } from "./text.js";

export const LIFETIMES = [
  ["600000", "10 minutes"],
  ["3600000", "1 hour"],
  ["28800000", "8 hours"],
  ["86400000", "1 day"],
  ["604800000", "7 days"],
  ["2592000000", "30 days"],
];

/** The name of a state with its dot; makes one, or fills it. */
export function state(name = "", node = element("span", { class: "state" })) {
  if (node.dataset.state !== name) {
    node.dataset.state = name;
    put(node, name);
  }
  return node;
}

/** Does something, and tells of it if it fails. */
export async function act(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") notify(error.message, true);
    return undefined;
  }
}

function extend(one) {
  return ask({
    title: "More time",
    fields: [
      element("p", { class: "muted" }, `It expires at ${clock(one.expires_at)}.`),
      field(
        "It shall live for",
        choice("ttl_ms", LIFETIMES, "3600000"),
        "From now on. It can be less than it had.",
      ),
    ],
    action: "Set",
    submit: (form) => call("extend", { id: one.id, ttl_ms: Number(form.get("ttl_ms")) }),
  });
}

function remove(one) {
  return ask({
    title: `Delete ${one.id.slice(0, 12)}?`,
    fields: [
      element("p", {}, "Its processes are ended and its files are gone. There is no way back."),
    ],
    action: "Delete",
    danger: true,
    submit: () => call("delete", { id: one.id }, { time: 60_000 }),
  });
}

/**
 * Buttons for a sandbox in `place`; made anew only when its state has changed. `changed` gets
 * what it is now, or undefined if it is gone.
 */
export function actions(place, one, changed) {
  place.sandbox = one;
  place.changed = changed;
  if (place.dataset.state === one.state) return;
  place.dataset.state = one.state;
  const now = () => place.sandbox;
  const done = (answer) => answer && place.changed(answer);
  const of = (verb) => `${verb} ${one.id.slice(0, 12)}`;
  const buttons = [];
  if (["ready", "paused"].includes(one.state)) {
    buttons.push(
      button("Extend", async () => done(await extend(now())), { "aria-label": of("Extend") }),
    );
  }
  if (one.state === "ready") {
    const pause = () => act(() => call("pause", { id: one.id }));
    buttons.push(button("Pause", async () => done(await pause()), { "aria-label": of("Pause") }));
  }
  if (one.state === "paused") {
    const resume = () => act(() => call("resume", { id: one.id }));
    buttons.push(
      button("Resume", async () => done(await resume()), { "aria-label": of("Resume") }),
    );
  }
  if (["ready", "paused", "creating"].includes(one.state)) {
    const gone = async () => (await remove(now())) && place.changed(undefined);
    buttons.push(button("Delete", gone, { "aria-label": of("Delete"), class: "warn" }));
  }
  // The focus goes with its button.
  const focused = place.contains(document.activeElement)
    ? document.activeElement.textContent
    : null;
  place.replaceChildren(...buttons);
  if (focused !== null) (buttons.find((one) => one.textContent === focused) ?? buttons[0])?.focus();
}
