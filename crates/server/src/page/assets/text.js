// Text of strangers made harmless to look at, and numbers made readable.
//
// Names, labels and output come from sandboxes. They never become markup: only text nodes are
// made of them (dom.js). What is left to do is what a text can do by itself: reorder its
// surroundings, hide, or look like something else.

// Controls, marks that change direction, halves of surrogates, private and invisible characters.
const HIDDEN =
  /\p{Cc}|\p{Cf}|\p{Cs}|\p{Co}|[\u2028\u2029\u115f\u1160\u3164\uffa0]|\u034f|\u17b4|\u17b5|[\u180b-\u180f]|[\ufe00-\ufe0f]/gu;
const PICTURES = { "\n": "\u23ce", "\t": "\u21e5", "\u001b": "\\e" };
const COLOUR = /\u001b\[[0-9;:]*m/g;

function named(found) {
  return PICTURES[found] ?? `\\u{${found.codePointAt(0).toString(16)}}`;
}

/** One line of a stranger's text: what cannot be seen is named. */
export function shown(text) {
  return String(text ?? "").replace(HIDDEN, named);
}

/** Output: lines and tabs stay, colours are left out, what cannot be seen is named. */
export function shownOutput(text) {
  const plain = String(text ?? "")
    .replace(COLOUR, "")
    .replaceAll("\r\n", "\n");
  return plain.replace(HIDDEN, (found) =>
    found === "\n" || found === "\t" ? found : named(found),
  );
}

/** A name that a download may suggest. */
export function fileName(name) {
  const plain = String(name)
    .replace(HIDDEN, "")
    .replace(/[/\\:*?"<>|]/g, "_")
    .replace(/^\.+/, "");
  return plain.slice(0, 200) || "file";
}

/** A command as one would type it. */
export function commandLine(words) {
  const quoted = (word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  return shown((words ?? []).map(quoted).join(" "));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes with three digits or so: `12.3 MiB`. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  let unit = 0;
  let left = count;
  while (left >= 1000 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${UNITS[unit]}`;
}

/** A length of time in its two largest units: `3 min 20 s`. */
export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "–";
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0 s";
  const told = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return told.map(([count, unit]) => `${count}\u00a0${unit}`).join(" ");
}

/** A short time, exactly: `3 ms`, `1.25 s`. */
export function took(milliseconds) {
  if (milliseconds < 1000) return `${milliseconds} ms`;
  return milliseconds < 60_000 ? `${(milliseconds / 1000).toFixed(2)} s` : duration(milliseconds);
}

export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  return `${share < 10 ? share.toFixed(1) : Math.round(share)} %`;
}

/** The time of a day, with the date if it is another one. */
export function clock(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return shown(text);
  const time = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === new Date().toDateString()
    ? time
    : `${date.toLocaleDateString()} ${time}`;
}
