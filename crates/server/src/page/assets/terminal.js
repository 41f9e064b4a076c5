// Terminals: xterm.js draws them, a WebSocket carries them.
//
// What comes out of a sandbox may only draw. xterm.js as it is answers questions, opens links
// and takes titles; all of that is taken out of its parser here (SILENT), so that no byte of
// output becomes input, a link, or anything outside of the terminal's own rectangle.

import { button, element, put } from "./dom.js";
import { writer } from "./flood.js";
import "./paper.js";
import { terminal as connect } from "./server.js";

/** Characters of one message of input; the server takes frames of 1 MiB. */
const PIECE = 16_384;
const SCROLLBACK = 5_000;

/** Sequences that would do something other than draw, or that want an answer. */
const SILENT = {
  // Titles, colours of the page's palette and questions for them, links, clipboard.
  osc: [
    0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 17, 19, 50, 52, 104, 105, 110, 111, 112, 117, 119,
    133, 777, 1337,
  ],
  // Who are you, where is the cursor, what is set, window operations.
  csi: [
    { final: "c" },
    { prefix: ">", final: "c" },
    { prefix: "=", final: "c" },
    { final: "n" },
    { prefix: "?", final: "n" },
    { prefix: ">", final: "q" },
    { intermediates: "$", final: "p" },
    { prefix: "?", intermediates: "$", final: "p" },
    { final: "t" },
    { final: "x" },
    { prefix: "?", final: "u" },
  ],
  dcs: [
    { intermediates: "$", final: "q" },
    { intermediates: "+", final: "q" },
  ],
};

/** Terminals stay while one looks at something else: by sandbox and process. */
const open = new Map();

function colours() {
  // A property may be a function of the theme; what it comes to is asked of an element.
  const probe = document.body.appendChild(element("span", { hidden: true }));
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
  const ansi = names.flatMap((name) => {
    const bright = `bright${name[0].toUpperCase()}${name.slice(1)}`;
    return [
      [name, of(`ansi-${name}`)],
      [bright, of(`ansi-bright-${name}`)],
    ];
  });
  const found = {
    background: of("terminal"),
    foreground: of("terminal-text"),
    cursor: of("accent"),
    cursorAccent: of("terminal"),
    selectionBackground: of("selection"),
    ...Object.fromEntries(ansi),
  };
  probe.remove();
  return found;
}

/** After a change of theme. */
export function retheme() {
  for (const { screen } of open.values()) screen.options.theme = colours();
}

function silence(screen) {
  const nothing = () => true;
  for (const code of SILENT.osc) screen.parser.registerOscHandler(code, nothing);
  for (const id of SILENT.csi) screen.parser.registerCsiHandler(id, nothing);
  for (const id of SILENT.dcs) screen.parser.registerDcsHandler(id, nothing);
}

async function start(id, process) {
  const [{ Terminal }, { FitAddon }] = await Promise.all([
    import("./vendor/xterm.mjs"),
    import("./vendor/addon-fit.mjs"),
  ]);
  const screen = new Terminal({
    theme: colours(),
    fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace',
    fontSize: 13,
    lineHeight: 1.15,
    cursorBlink: false,
    scrollback: SCROLLBACK,
    minimumContrastRatio: 4.5,
    windowOptions: {},
    linkHandler: { activate() {}, hover() {}, leave() {} },
  });
  const fit = new FitAddon();
  screen.loadAddon(fit);
  silence(screen);
  const host = element("div", { class: "screen" });
  const told = element("span", { class: "muted", role: "status" }, "connecting");
  const session = { screen, fit, host, told, socket: null, isOver: false };

  session.begin = () => {
    fit.fit();
    const socket = connect(id, { columns: screen.cols, rows: screen.rows, process });
    session.socket = socket;
    session.isOver = false;
    put(told, "connecting");
    const write = writer(screen);
    socket.addEventListener("open", () => {
      put(told, process === null ? "connected" : `connected to process ${process}`);
      session.resize();
    });
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) write(new Uint8Array(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      session.isOver = true;
      const why = {
        1000: `ended (${reason || "closed"})`,
        1001: "the server stops",
        1006: "the connection broke off",
      };
      put(told, why[code] ?? (reason || `closed (${code})`));
      session.ended?.();
    });
  };
  const say = (command) => {
    if (session.socket?.readyState === WebSocket.OPEN) session.socket.send(JSON.stringify(command));
  };
  session.type = (text) => {
    for (let at = 0; at < text.length; ) {
      let end = Math.min(at + PIECE, text.length);
      // A pair of surrogates is one character.
      if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end += 1;
      say({ input: text.slice(at, end) });
      at = end;
    }
  };
  session.resize = () => {
    if (!host.isConnected || host.clientHeight === 0) return;
    fit.fit();
    say({ resize: { columns: screen.cols, rows: screen.rows } });
  };
  screen.onData(session.type);
  screen.onBinary((text) => {
    if (session.socket?.readyState === WebSocket.OPEN) {
      session.socket.send(Uint8Array.from(text, (one) => one.charCodeAt(0) & 0xff));
    }
  });
  screen.attachCustomKeyEventHandler((event) => {
    // The way out of the terminal for those who have no mouse.
    const leaves = event.key === "F6" && event.ctrlKey;
    if (leaves && event.type === "keydown") session.leave?.();
    return !leaves;
  });
  // Escapes in what is pasted would end the brackets round it.
  host.addEventListener(
    "paste",
    (event) => {
      event.preventDefault();
      event.stopPropagation();
      screen.paste(event.clipboardData.getData("text/plain").replaceAll("\u001b", ""));
    },
    { capture: true },
  );
  return session;
}

/** Keys that the keyboard of a phone lacks. */
const KEYS = [
  ["Esc", "\u001b"],
  ["Tab", "\t"],
  ["Ctrl C", "\u0003"],
  ["Ctrl D", "\u0004"],
  ["Ctrl Z", "\u001a"],
  ["↑", "\u001b[A", "Up"],
  ["↓", "\u001b[B", "Down"],
  ["←", "\u001b[D", "Left"],
  ["→", "\u001b[C", "Right"],
];

export function showTerminal(room, id, argument) {
  const process = /^\d{1,15}$/.test(argument ?? "") ? Number(argument) : null;
  const name = `${id}/${process ?? "shell"}`;
  const bar = element("div", { class: "bar" });
  const place = element("div", { class: "glass" });
  const keys = element("div", { class: "keys", role: "group", "aria-label": "Keys" });
  const hint = element(
    "p",
    { class: "muted small hint" },
    "Ctrl F6 leaves the terminal. It goes on while you look at other pages, and ends with this tab.",
  );
  room.append(bar, place, keys, hint);
  let isGone = false;
  let watcher = null;

  async function begin() {
    const session = open.get(name) ?? (await start(id, process));
    if (isGone) return;
    const isNew = !open.has(name);
    open.set(name, session);
    const again = button(
      "Start again",
      () => {
        again.hidden = true;
        session.screen.reset();
        session.begin();
        session.screen.focus();
      },
      { hidden: !session.isOver },
    );
    const close = button("Close", () => end(session), {});
    const reader = element("input", { type: "checkbox" });
    reader.checked = session.screen.options.screenReaderMode;
    reader.addEventListener("change", () => {
      session.screen.options.screenReaderMode = reader.checked;
    });
    bar.append(
      session.told,
      element("span", { class: "space" }),
      element("label", { class: "check" }, reader, "screen reader"),
      again,
      close,
    );
    place.append(session.host);
    if (session.screen.element === undefined) session.screen.open(session.host);
    session.ended = () => {
      again.hidden = false;
    };
    session.leave = () => close.focus();
    keys.append(
      ...KEYS.map(([label, text, spoken]) =>
        button(
          label,
          () => {
            // Programs that ask for it get the arrows in their other form.
            const isArrow = text.startsWith("\u001b[");
            const other = isArrow && session.screen.modes.applicationCursorKeysMode;
            session.type(other ? text.replace("[", "O") : text);
            session.screen.focus();
          },
          { "aria-label": spoken ?? null },
        ),
      ),
    );
    let waiting = null;
    watcher = new ResizeObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(session.resize, 80);
    });
    watcher.observe(place);
    if (isNew) session.begin();
    session.screen.focus();
  }

  function end(session) {
    session.socket?.close(1000);
    session.screen.dispose();
    open.delete(name);
    location.hash = `#/sandbox/${id}`;
  }

  begin();
  return {
    close() {
      isGone = true;
      watcher?.disconnect();
      const session = open.get(name);
      if (session === undefined) return;
      session.host.remove();
      session.ended = null;
      // What is over is looked at once.
      if (session.isOver) {
        session.screen.dispose();
        open.delete(name);
      }
    },
  };
}
