// What this host can enforce, as `capsule doctor` finds out by trying.

import { button, element } from "./dom.js";
import { act } from "./lifecycle.js";
import { doctor } from "./server.js";
import { shown } from "./text.js";

function failure(error) {
  if (!error) return null;
  return element(
    "p",
    { class: "wrong" },
    shown(error.message ?? ""),
    error.hint ? ` (${shown(error.hint)})` : "",
  );
}

function usable(is) {
  return element(
    "span",
    { class: "state", "data-state": is ? "good" : "bad" },
    is ? "usable" : "not usable",
  );
}

function wall({ wall, state, why, remedy }) {
  return element(
    "li",
    {},
    element(
      "span",
      { class: "state", "data-state": { full: "good", weaker: "weak" }[state] ?? "bad" },
      shown(state),
    ),
    element("b", {}, shown(wall)),
    element(
      "span",
      { class: "why" },
      shown(why),
      remedy ? element("small", {}, `hint: ${shown(remedy)}`) : null,
    ),
  );
}

function backend(one) {
  const facts = Object.entries(one.facts ?? {}).map(([name, value]) =>
    element("div", {}, element("dt", {}, shown(name)), element("dd", {}, shown(value))),
  );
  return element(
    "section",
    { class: "card" },
    element("div", { class: "row" }, element("h2", {}, shown(one.backend)), usable(one.usable)),
    failure(one.error),
    element("ul", { class: "walls" }, (one.walls ?? []).map(wall)),
    element("dl", { class: "facts" }, facts),
  );
}

function lockdown(found) {
  const weaker = (found.weaker ?? []).map((line) =>
    element("li", {}, element("span", { class: "why" }, shown(line))),
  );
  return element(
    "section",
    { class: "card" },
    element(
      "div",
      { class: "row" },
      element("h2", {}, "Lock-down of guests in WebAssembly"),
      usable(found.usable),
    ),
    failure(found.error),
    weaker.length
      ? element("ul", { class: "walls" }, weaker)
      : element("p", { class: "muted" }, "Full on this host."),
  );
}

export function showDoctor(stage) {
  const result = element("div", { class: "doctor", "aria-live": "polite" });
  const again = button("Look again", look);
  const about = element(
    "p",
    { class: "muted" },
    "What this host can enforce, found out by trying.",
  );
  stage.append(
    element(
      "div",
      { class: "bar" },
      element("h1", {}, "Doctor"),
      about,
      element("span", { class: "space" }),
      again,
    ),
    result,
  );
  const leaving = new AbortController();

  async function look() {
    again.disabled = true;
    if (!result.hasChildNodes())
      result.append(element("p", { class: "empty" }, "Trying what this host can enforce …"));
    const found = await act(() => doctor(leaving.signal));
    if (found) {
      const wasm = found.wasm?.recycling;
      const rest = wasm
        ? element(
            "section",
            { class: "card" },
            element("h2", {}, "WebAssembly"),
            element("p", {}, `How used memories are made new: ${shown(wasm)}`),
          )
        : null;
      result.replaceChildren(
        ...(found.backends ?? []).map(backend),
        ...(found.lockdown ? [lockdown(found.lockdown)] : []),
        ...(rest ? [rest] : []),
      );
    }
    again.disabled = false;
  }

  look();
  return () => leaving.abort();
}
