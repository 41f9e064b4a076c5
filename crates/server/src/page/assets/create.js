// The form for a new sandbox.

import { ask, choice, field } from "./dialog.js";
import { element } from "./dom.js";
import { LIFETIMES } from "./lifecycle.js";
import { call, parametersOf } from "./server.js";
import { shown } from "./text.js";

const MIB = 1 << 20;

/** `NAME=value` lines as an object. */
function pairs(text, what) {
  const all = {};
  for (const line of text
    .split("\n")
    .map((one) => one.trim())
    .filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`${what}: "${shown(line)}" is not NAME=value`);
    all[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return all;
}

function number(form, name) {
  const text = form.get(name);
  return text ? Number(text) : null;
}

/** What a form says, as the parameters of sandbox.v1.create; without what is left empty. */
function parameters(form) {
  const asked = { template: form.get("template"), ttl_ms: Number(form.get("ttl_ms")) };
  const idle = number(form, "idle");
  if (idle) asked.idle_ms = idle * 60_000;
  const labels = pairs(form.get("labels"), "Labels");
  if (Object.keys(labels).length) asked.labels = labels;
  const env = pairs(form.get("env"), "Variables");
  if (Object.keys(env).length) asked.env = env;
  const limits = {};
  if (number(form, "memory")) limits.memory_bytes = number(form, "memory") * MIB;
  if (number(form, "disk")) limits.disk_bytes = number(form, "disk") * MIB;
  if (number(form, "pids")) limits.max_pids = number(form, "pids");
  if (Object.keys(limits).length) asked.limits = limits;
  const network = form.get("network");
  const hosts = (form.get("hosts") ?? "").split(/[\s,]+/).filter(Boolean);
  if (network === "allow") asked.network = { allow: hosts };
  else if (network) asked.network = network;
  return asked;
}

/** Asks for a sandbox, from `template` if one is named; answers it, or null. */
export async function createSandbox(template = null) {
  const [{ templates }, known] = await Promise.all([call("templates"), parametersOf("create")]);
  const names = templates.map(({ name }) => [name, shown(name)]);
  const chosen =
    template ?? (templates.some(({ name }) => name === "python") ? "python" : names[0]?.[0]);
  const amount = (name, placeholder) =>
    element("input", { name, type: "number", min: 1, step: 1, inputmode: "numeric", placeholder });
  const lines = (name, placeholder) =>
    element("textarea", { name, rows: 2, spellcheck: "false", placeholder });
  const networks = [
    ["", "as the template has it"],
    ["denied", "none"],
    ["allow", "these hosts only"],
    ["open", "open"],
  ];
  const more = element(
    "details",
    {},
    element("summary", {}, "More"),
    field("Idle for", amount("idle", "no limit"), "Minutes without use after which it ends."),
    field("Labels", lines("labels", "team=search"), "One NAME=value a line."),
    field("Variables", lines("env", "LANG=C.UTF-8"), "One NAME=value a line."),
    element(
      "div",
      { class: "thirds" },
      field("Memory, MiB", amount("memory", "template's")),
      field("Disk, MiB", amount("disk", "template's")),
      field("Processes", amount("pids", "template's")),
    ),
    known.has("network")
      ? [
          field("Network", choice("network", networks, "")),
          field(
            "Hosts",
            element("input", {
              name: "hosts",
              spellcheck: "false",
              placeholder: "pypi.org, *.example.org",
            }),
          ),
        ]
      : null,
  );
  return ask({
    title: "New sandbox",
    fields: [
      field("Template", choice("template", names, chosen)),
      field("Lives for", choice("ttl_ms", LIFETIMES, "3600000")),
      more,
    ],
    action: "Create",
    submit: (form) => call("create", parameters(form), { time: 120_000 }),
  });
}
