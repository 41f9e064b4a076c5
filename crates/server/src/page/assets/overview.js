// What a sandbox uses, what runs in it, and what is known of it.

import { chart } from "./charts.js";
import { button, element, keyed, put, row, table } from "./dom.js";
import { lastOf, sample, samplesOf } from "./history.js";
import { act } from "./lifecycle.js";
import { poll } from "./poll.js";
import { tags } from "./sandboxes.js";
import { call } from "./server.js";
import { bytes, clock, commandLine, duration, percent, shown } from "./text.js";

const EVERY = 2_000;

const PROCESSES = [
  { label: "Number", class: "number" },
  "Command",
  "Started",
  "Status",
  { label: "Actions", class: "actions" },
];
const LABELS = PROCESSES.map((column) => column.label ?? column);

function charts() {
  const rate = (value) => `${bytes(value)}/s`;
  const all = [
    chart({ title: "CPU", series: [{ of: (one) => one.cpu }], format: percent, least: 10 }),
    chart({
      title: "Memory",
      series: [{ of: (one) => one.memory }],
      format: bytes,
      isBinary: true,
      least: 1 << 20,
    }),
    chart({
      title: "I/O",
      series: [
        { name: "read", of: (one) => one.read },
        { name: "written", of: (one) => one.written },
      ],
      format: rate,
      isBinary: true,
    }),
    chart({
      title: "Processes",
      series: [{ of: (one) => one.processes }],
      format: String,
      least: 5,
    }),
    chart({
      title: "Disk",
      series: [{ of: (one) => one.disk }],
      format: bytes,
      isBinary: true,
      least: 1 << 16,
    }),
  ];
  return all;
}

function ending(exit) {
  if (!exit) return "runs";
  if (exit.timed_out) return "timed out";
  if (exit.out_of_memory) return "out of memory";
  return exit.signal ? `signal ${exit.signal}` : `exit ${exit.exit_code}`;
}

function network(policy) {
  if (typeof policy === "string") return shown(policy);
  return (policy?.allow ?? []).map(shown).join(", ") || "denied";
}

export function showOverview(room, id, signal) {
  const all = charts();
  const processes = table("Processes", PROCESSES);
  const quiet = element(
    "p",
    { class: "muted" },
    "Nothing was started here by itself; commands are in the log.",
  );
  const facts = element("dl", { class: "facts" });
  room.append(
    element(
      "div",
      { class: "charts" },
      all.map(({ node }) => node),
    ),
    element("h2", {}, "Processes"),
    element("div", { class: "sheet" }, processes.node),
    quiet,
    element("h2", {}, "About it"),
    facts,
  );

  function draw() {
    for (const one of all) one.update(samplesOf(id));
  }

  async function measure() {
    await sample([id], { signal });
    draw();
  }

  async function list() {
    const { processes: found } = await call("processes", { id }, { signal });
    processes.node.hidden = found.length === 0;
    quiet.hidden = found.length > 0;
    keyed(processes.body, found, (one) => one.process, make, update);
  }

  function make(one) {
    const kill = () => act(() => call("kill", { id, process: one.process }));
    const open = element(
      "a",
      { class: "button", href: `#/sandbox/${id}/terminal?${one.process}` },
      "Terminal",
    );
    const end = button("Kill", kill, {
      "aria-label": `Kill process ${one.process}`,
      class: "warn",
    });
    return row(LABELS, [
      { node: String(one.process), class: "number" },
      element("code", { dir: "auto" }, commandLine(one.cmd)),
      clock(one.started_at),
      "",
      {
        node: element("div", { class: "row end" }, one.terminal ? open : null, end),
        class: "actions",
      },
    ]);
  }

  function update(line, one) {
    put(line.children[3], ending(one.exit));
    line.children[4].firstElementChild.hidden = Boolean(one.exit);
  }

  draw();
  const stops = [poll(measure, EVERY), poll(list, EVERY * 2)];
  return {
    tell(one) {
      const peak = lastOf(id)?.stats.max_memory_bytes;
      const known = [
        ["Id", element("code", {}, one.id)],
        ["Made", clock(one.created_at)],
        ["Expires", clock(one.expires_at)],
        ["Idle time", one.idle_ms ? duration(one.idle_ms) : "no limit"],
        one.network === undefined ? null : ["Network", network(one.network)],
        peak ? ["Most memory", bytes(peak)] : null,
        [
          "Labels",
          Object.keys(one.labels).length
            ? element("span", { class: "tags" }, tags(one.labels))
            : "none",
        ],
        ...Object.entries(one.metadata ?? {}).map(([name, value]) => [shown(name), shown(value)]),
        ...(one.weaker ?? []).map((wall) => [`Weaker: ${shown(wall.wall)}`, shown(wall.why)]),
      ].filter((fact) => fact !== null);
      const text = JSON.stringify(known.map(([name, value]) => [name, value.textContent ?? value]));
      if (facts.dataset.told === text) return;
      facts.dataset.told = text;
      facts.replaceChildren(
        ...known.map(([name, value]) =>
          element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value)),
        ),
      );
    },
    close() {
      for (const stop of stops) stop();
    },
  };
}
