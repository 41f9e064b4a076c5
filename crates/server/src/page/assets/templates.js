// What sandboxes can be made from.

import { createSandbox } from "./create.js";
import { button, element, keyed } from "./dom.js";
import { poll } from "./poll.js";
import { call } from "./server.js";
import { bytes, shown } from "./text.js";

const EVERY = 15_000;

function network(policy) {
  if (policy === undefined) return null;
  if (typeof policy === "string") return shown(policy);
  return (policy?.allow ?? []).map(shown).join(", ") || null;
}

/** What is known of a template; a server tells more or less of it. */
function facts(one) {
  const limits = one.limits ?? {};
  return [
    ["Memory", limits.memory_bytes && bytes(limits.memory_bytes)],
    ["Disk", limits.disk_bytes && bytes(limits.disk_bytes)],
    ["Processes", limits.max_pids],
    ["CPU shares", limits.cpu_shares],
    ["Language", one.language && shown(one.language)],
    ["Backend", one.backend && shown(one.backend)],
    ["Root", one.root && shown(typeof one.root === "string" ? one.root : JSON.stringify(one.root))],
    ["Network", network(one.network)],
    ["Pool", one.pool && `${one.pool.ready} of ${one.pool.size} ready`],
    ["On expiry", one.on_expiry && shown(one.on_expiry)],
  ].filter(([, value]) => value);
}

export function showTemplates(stage) {
  const cards = element("div", { class: "cards" });
  stage.append(element("div", { class: "bar" }, element("h1", {}, "Templates")), cards);
  const leaving = new AbortController();

  async function look() {
    const { templates } = await call("templates", {}, { signal: leaving.signal });
    keyed(cards, templates, ({ name }) => name, make, update);
  }

  function make({ name }) {
    const create = async () => {
      const made = await createSandbox(name);
      if (made) location.hash = `#/sandbox/${made.id}`;
    };
    const head = element(
      "div",
      { class: "row" },
      element("h2", {}, shown(name)),
      element("span", { class: "space" }),
      button("New sandbox", create, { "aria-label": `New sandbox from ${shown(name)}` }),
    );
    return element(
      "article",
      { class: "card" },
      head,
      element("p", { class: "muted" }),
      element("dl", { class: "facts" }),
    );
  }

  function update(card, one) {
    const [, about, list] = card.children;
    about.textContent = shown(one.description ?? "");
    about.hidden = !one.description;
    const told = facts(one).map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, String(value))),
    );
    list.replaceChildren(...told);
  }

  const stop = poll(look, EVERY);
  return () => {
    leaving.abort();
    stop();
  };
}
