// All sandboxes, as they are now, and the pools that wait to become some.

import { createSandbox } from "./create.js";
import { button, element, keyed, put, row, table } from "./dom.js";
import { lastOf, sample } from "./history.js";
import { actions, state } from "./lifecycle.js";
import { poll } from "./poll.js";
import { call } from "./server.js";
import { bytes, clock, duration, percent, shown } from "./text.js";

const PAGE = 100;
const EVERY = 4_000;
const TEMPLATES_EVERY = 15_000;

const COLUMNS = [
  "State",
  "Sandbox",
  "Template",
  { label: "Age", class: "number" },
  { label: "Expires in", class: "number" },
  { label: "Processes", class: "number" },
  { label: "CPU", class: "number" },
  { label: "Memory", class: "number" },
  { label: "Actions", class: "actions" },
];
const LABELS = COLUMNS.map((column) => column.label ?? column);

/** Labels as small tags; texts of strangers. */
export function tags(labels) {
  const all = Object.entries(labels ?? {});
  return all.map(([name, value]) =>
    element("span", { class: "tag", dir: "auto" }, shown(value === "" ? name : `${name}=${value}`)),
  );
}

export function showSandboxes(stage) {
  const search = element("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter by id, template, state or label",
    on: { input: draw },
  });
  const count = element("p", { class: "muted", role: "status" });
  const pools = element("div", { class: "pools", hidden: true });
  const { node, body } = table("Sandboxes", COLUMNS);
  const empty = element(
    "div",
    { class: "empty", hidden: true },
    element("p", {}, "There is no sandbox."),
    button("Create the first one", create, { class: "primary" }),
  );
  const newer = button("Back", () => turn(-1), { hidden: true });
  const older = button("Next", () => turn(1), { hidden: true });
  stage.append(
    element(
      "div",
      { class: "bar" },
      element("h1", {}, "Sandboxes"),
      count,
      element("span", { class: "space" }),
      search,
      button("New sandbox", create, { class: "primary" }),
    ),
    pools,
    element("div", { class: "sheet" }, node),
    empty,
    element("div", { class: "row end" }, newer, older),
  );

  let sandboxes = null;
  let more = false;
  /** The id after which each page begins, up to the one that is shown. */
  const starts = [null];
  const leaving = new AbortController();
  const { signal } = leaving;

  async function look() {
    const after = starts.at(-1);
    const asked = after === null ? { limit: PAGE } : { limit: PAGE, after };
    const answer = await call("list", asked, { signal });
    if (after !== starts.at(-1)) return;
    // A page that has emptied leads back to the one before.
    if (answer.sandboxes.length === 0 && starts.length > 1) {
      starts.pop();
      return;
    }
    ({ sandboxes, more } = answer);
    draw();
    const living = sandboxes.filter((one) => ["ready", "paused"].includes(one.state));
    await sample(
      living.map(({ id }) => id),
      { signal },
    );
    draw();
  }

  function turn(by) {
    if (by < 0) starts.pop();
    else if (sandboxes?.length) starts.push(sandboxes.at(-1).id);
    look();
  }

  function wanted() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (one) =>
      [one.id, one.template, one.state, ...Object.entries(one.labels).map((pair) => pair.join("="))]
        .join(" ")
        .toLowerCase();
    return sandboxes.filter((one) => words.every((word) => text(one).includes(word)));
  }

  function draw() {
    if (sandboxes === null) return;
    const rows = wanted();
    keyed(body, rows, ({ id }) => id, make, update);
    const states = {};
    for (const one of sandboxes) states[one.state] = (states[one.state] ?? 0) + 1;
    const told = Object.entries(states)
      .map(([name, number]) => `${number} ${name}`)
      .sort()
      .join(", ");
    const some = rows.length === sandboxes.length ? "" : `${rows.length} of `;
    const rest = more || starts.length > 1 ? " on this page" : "";
    put(count, sandboxes.length === 0 ? "" : `${some}${sandboxes.length}${rest}: ${told}`);
    empty.hidden = sandboxes.length > 0;
    node.hidden = sandboxes.length === 0;
    newer.hidden = starts.length < 2;
    older.hidden = !more;
  }

  function make({ id }) {
    const name = element("a", { class: "id", href: `#/sandbox/${id}`, title: id }, id.slice(0, 12));
    const labels = element("span", { class: "tags" });
    const cells = [
      state(),
      element("div", { class: "named" }, name, labels),
      "",
      { class: "number" },
      { class: "number" },
      { class: "number" },
      { class: "number" },
      { class: "number" },
      { node: element("div", { class: "row end" }), class: "actions" },
    ];
    return row(LABELS, cells);
  }

  function update(line, one) {
    const [first, second, template, age, rest, processes, cpu, memory, last] = line.children;
    state(one.state, first.firstElementChild);
    const labels = second.querySelector(".tags");
    const told = JSON.stringify(one.labels);
    if (labels.dataset.told !== told) {
      labels.dataset.told = told;
      labels.replaceChildren(...tags(one.labels));
    }
    put(template, shown(one.template));
    const now = Date.now();
    put(age, duration(now - Date.parse(one.created_at)));
    put(rest, duration(Date.parse(one.expires_at) - now));
    rest.title = clock(one.expires_at);
    const used = lastOf(one.id);
    put(processes, String(used?.processes ?? one.processes));
    put(cpu, used?.cpu == null ? "–" : percent(used.cpu));
    put(memory, used?.memory == null ? "–" : bytes(used.memory));
    actions(last.firstElementChild, one, (after) => {
      sandboxes = sandboxes.map((old) =>
        old.id === one.id ? (after ?? { ...old, state: "ending" }) : old,
      );
      draw();
    });
  }

  async function create() {
    const made = await createSandbox();
    if (made) location.hash = `#/sandbox/${made.id}`;
  }

  async function lookAtPools() {
    const { templates } = await call("templates", {}, { signal });
    const pooled = templates.filter(({ pool }) => pool && pool.size > 0);
    pools.hidden = pooled.length === 0;
    keyed(
      pools,
      pooled,
      ({ name }) => name,
      () =>
        element(
          "span",
          { class: "pool" },
          element("b"),
          element("meter", { min: 0 }),
          element("span"),
        ),
      (line, { name, pool }) => {
        const [label, meter, text] = line.children;
        put(label, shown(name));
        meter.max = pool.size;
        meter.value = pool.ready;
        meter.setAttribute("aria-label", `${shown(name)}: ready sandboxes`);
        put(text, `${pool.ready} of ${pool.size} ready`);
      },
    );
  }

  const stops = [poll(look, EVERY), poll(lookAtPools, TEMPLATES_EVERY)];
  return () => {
    leaving.abort();
    for (const stop of stops) stop();
  };
}
