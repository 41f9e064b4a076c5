// Output that comes faster than it is drawn, without a browser: what is held, and what is told.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const file = new URL("../../crates/server/src/page/assets/flood.js", import.meta.url);
const { writer } = await import(`data:text/javascript,${encodeURIComponent(readFileSync(file))}`);

test("a flood is held within bounds, its end is shown, and every byte is accounted for", () => {
  const waiting = [];
  const drawn = [];
  const write = writer({ write: (text, done) => waiting.push({ text, done }) });
  const drawOne = () => {
    const { text, done } = waiting.shift();
    drawn.push(text);
    done?.();
  };
  const size = (all) => all.reduce((sum, one) => sum + one.length, 0);
  let sent = 0;
  let most = 0;
  const send = (bytes) => {
    write(bytes);
    sent += bytes.length;
    most = Math.max(most, size(waiting.map(({ text }) => text)));
  };
  for (let count = 0; count < 4000; count += 1) {
    send(new Uint8Array(4096));
    if (count % 7 === 0) drawOne();
  }
  send(new TextEncoder().encode("the end"));
  while (waiting.length > 0) drawOne();
  const notes = drawn.filter((one) => typeof one === "string");
  const untold = notes.map((note) => Number(note.match(/\[(\d+) bytes not shown\]/)[1]));
  assert.ok(notes.length > 0);
  assert.ok(most < 3 << 20, `${most} bytes waited`);
  const shown = size(drawn.filter((one) => typeof one !== "string"));
  assert.equal(shown + untold.reduce((sum, one) => sum + one), sent);
  assert.equal(new TextDecoder().decode(drawn.at(-1)), "the end");
});
