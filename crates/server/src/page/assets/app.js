// The page: which view stands in it, the key, the theme, and whether the server answers.

import { ask, field } from "./dialog.js";
import { showDoctor } from "./doctor.js";
import { element, notify, put } from "./dom.js";
import { showLog } from "./log.js";
import { showSandbox } from "./sandbox.js";
import { showSandboxes } from "./sandboxes.js";
import { events, hasKey, setKey } from "./server.js";
import { showTemplates } from "./templates.js";
import { retheme } from "./terminal.js";
import { showVolumes } from "./volumes.js";

const main = document.querySelector("#main");
const keyButton = document.querySelector("#key");
const themeButton = document.querySelector("#theme");
const link = document.querySelector("#link");

/** Ends the view that stands there. */
let close = () => {};

/** `#/sandbox/ID/files` and the like; whatever else stands there is the list. */
function place() {
  const [page = "", id = "", part = "overview"] = location.hash.replace(/^#\/?/, "").split("/");
  if (page === "sandbox" && /^[A-Za-z0-9-]{1,64}$/.test(id)) return { page, id, part };
  return { page: ["log", "templates", "volumes", "doctor"].includes(page) ? page : "sandboxes" };
}

function show() {
  close();
  const { page, id, part } = place();
  const section = page === "sandbox" ? "sandboxes" : page;
  for (const entry of document.querySelectorAll("nav [data-page]")) {
    if (entry.dataset.page === section) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  const stage = element("div", { class: "view" });
  main.replaceChildren(stage);
  const views = {
    sandboxes: () => showSandboxes(stage),
    sandbox: () => showSandbox(stage, id, part),
    log: () => showLog(stage),
    templates: () => showTemplates(stage),
    volumes: () => showVolumes(stage),
    doctor: () => showDoctor(stage),
  };
  document.title = page === "sandboxes" ? "Capsule" : `${id ?? page} · Capsule`;
  close = views[page]() ?? (() => {});
}

// --- the key ------------------------------------------------------------------

let isAsking = false;
let hasDeclined = false;

async function wantKey() {
  // Who has said no is not asked again and again; the button asks.
  if (isAsking || hasDeclined) return;
  isAsking = true;
  const control = element("input", {
    name: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });
  const given = await ask({
    title: "This server wants an API key",
    fields: [
      hasKey()
        ? element("p", { class: "wrong" }, "The key that this page has is not known there.")
        : null,
      field(
        "Key",
        control,
        "As capsule keys create printed it. It stays in this tab until it is closed.",
      ),
    ],
    action: "Use it",
    submit: (form) => form.get("key").trim(),
  });
  isAsking = false;
  hasDeclined = !given;
  keyButton.hidden = false;
  put(keyButton, given ? "Forget key" : "Enter key");
  if (!given) return;
  setKey(given);
  show();
}

events.addEventListener("key", wantKey);
keyButton.addEventListener("click", () => {
  if (hasDeclined) {
    hasDeclined = false;
    wantKey();
    return;
  }
  setKey(null);
  // What was on the screen, and open terminals, belong to the key.
  location.reload();
});

// --- the server ---------------------------------------------------------------

events.addEventListener("link", ({ detail: isLinked }) => {
  put(link, isLinked ? "connected" : "no answer");
  link.dataset.state = isLinked ? "good" : "bad";
});

// --- the theme ----------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

function themed() {
  put(themeButton, isDark() ? "Light" : "Dark");
  themeButton.setAttribute(
    "aria-label",
    isDark() ? "Switch to the light theme" : "Switch to the dark theme",
  );
  retheme();
}

themeButton.addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("capsule.theme", chosen);
  } catch {
    // Then it holds for as long as the page stands.
  }
  themed();
});
dark.addEventListener("change", themed);

// --- keys ---------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, dialog, .xterm");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = event.key === "/" ? main.querySelector("input[type=search]") : null;
  if (wanted) {
    event.preventDefault();
    wanted.focus();
  }
});

window.addEventListener("unhandledrejection", (event) => {
  notify(event.reason?.message ?? "something failed", true);
});
window.addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
});
keyButton.hidden = !hasKey();
themed();
show();
