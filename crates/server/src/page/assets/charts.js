// Small line charts of the last minutes, drawn as SVG.

import { element, put } from "./dom.js";
import { SPAN } from "./history.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 72;
const MINUTE = 60_000;

function drawn(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A round number that is at least `value`: 1, 2 or 5 and zeros; of bytes, powers of two. */
function ceiling(value, isBinary) {
  if (!(value > 0)) return isBinary ? 1024 : 1;
  if (isBinary) return 2 ** Math.ceil(Math.log2(value));
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value);
}

/**
 * A chart. `series` are `{name, of(sample)}`; `format` makes a number readable; `least` is the
 * smallest top of its axis.
 */
export function chart({ title, series, format, isBinary = false, least = 0 }) {
  const now = element("strong", {});
  const top = element("span", { class: "axis" });
  const since = element("span", {});
  const absent = element("span", { class: "absent", hidden: true }, "not counted on this host");
  const picture = drawn("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  for (const part of [0, 0.5, 1]) {
    const y = 1 + part * (HEIGHT - 2);
    picture.append(drawn("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const lines = series.map((_, place) => {
    const area = drawn("path", { class: `area s${place}` });
    const line = drawn("path", { class: `line s${place}` });
    picture.append(area, line);
    return { area, line };
  });
  const cursor = drawn("line", { class: "cursor", y1: 0, y2: HEIGHT, x1: -9, x2: -9 });
  picture.append(cursor);
  const names =
    series.length < 2
      ? []
      : series.map(({ name }, place) => element("span", { class: `legend s${place}` }, name));
  const node = element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, element("span", {}, title), now),
    element("div", { class: "plot" }, picture, top, absent),
    element("div", { class: "times" }, since, names, element("span", {}, "now")),
  );

  let samples = [];
  let pointed = null;

  function tell(sample) {
    const values = series.map(({ of }) => (sample ? of(sample) : null));
    const text = values.map((value) => (value === null ? "–" : format(value))).join(" / ");
    put(now, text);
    picture.setAttribute("aria-label", `${title}: ${text}`);
  }

  function draw() {
    const end = samples.at(-1)?.time ?? Date.now();
    // It begins narrow, so that something is to be seen soon.
    const age = end - (samples[0]?.time ?? end);
    const span = Math.min(SPAN, Math.max(MINUTE, Math.ceil(age / MINUTE) * MINUTE));
    const from = end - span;
    put(since, `${span / MINUTE} min ago`);
    const seen = samples.filter(({ time }) => time >= from - 10_000);
    absent.hidden =
      samples.length < 3 || seen.some((sample) => series.some(({ of }) => of(sample) !== null));
    const values = seen.flatMap((sample) => series.map(({ of }) => of(sample) ?? 0));
    const most = ceiling(Math.max(least, ...values), isBinary);
    const x = (sample) => ((sample.time - from) / span) * WIDTH;
    const y = (value) => HEIGHT - 1 - (value / most) * (HEIGHT - 6);
    series.forEach(({ of }, place) => {
      const points = seen.filter((sample) => of(sample) !== null);
      const path = points.map((sample) => `${x(sample).toFixed(1)} ${y(of(sample)).toFixed(1)}`);
      const line = path.length === 0 ? "" : `M${path.join("L")}`;
      lines[place].line.setAttribute("d", line);
      const area =
        path.length < 2
          ? ""
          : `${line}L${x(points.at(-1)).toFixed(1)} ${HEIGHT}L${x(points[0]).toFixed(1)} ${HEIGHT}Z`;
      lines[place].area.setAttribute("d", area);
    });
    put(top, format(most));
    let sample = samples.at(-1);
    let place = -9;
    if (pointed !== null && seen.length > 0) {
      const wanted = from + pointed * span;
      sample = seen.reduce((best, one) =>
        Math.abs(one.time - wanted) < Math.abs(best.time - wanted) ? one : best,
      );
      place = x(sample);
    }
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    tell(sample);
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    pointed = (event.clientX - box.left) / box.width;
    draw();
  });
  picture.addEventListener("pointerleave", () => {
    pointed = null;
    draw();
  });
  return {
    node,
    update(all) {
      samples = all;
      draw();
    },
  };
}
