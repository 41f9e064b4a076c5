// A page of somebody else, in a real browser, against a server on loopback without keys.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { stage } from "./stage.js";

const REBOUND = "rebound.example";
let foreign;
let id;

const on = stage({
  hosts: [REBOUND],
  async begin({ serve }) {
    // Another site's server: an empty page, to do things from.
    foreign = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end("<!doctype html><title>theirs</title><p>theirs");
    });
    await new Promise((resolve) => foreign.listen(0, "127.0.0.1", resolve));
    id = await serve.create();
  },
  end() {
    foreign?.closeAllConnections();
    foreign?.close();
  },
});

/** From another site, and from another port of the same. */
const places = () =>
  ["localhost", "127.0.0.1"].map((host) => `http://${host}:${foreign.address().port}/`);

async function from(place, work) {
  const page = await on.browser.open();
  try {
    await page.goto(place);
    await page.sees("theirs");
    await work(page);
  } finally {
    await page.close();
  }
  const { sandboxes } = await on.serve.call("list");
  assert.deepEqual(
    sandboxes.map((one) => [one.id, one.processes]),
    [[id, 0]],
    `from ${place}`,
  );
}

const CREATE = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "sandbox.v1.create",
  params: { template: "shell" },
});

test("it cannot call, with or without asking", async () => {
  for (const place of places()) {
    await from(place, async (page) => {
      const tried = await page.evaluate(
        async (url, body) => {
          const told = [];
          const tries = [
            { headers: { "content-type": "application/json" } },
            { headers: { "content-type": "text/plain" } },
            { headers: { "content-type": "text/plain" }, mode: "no-cors" },
            { mode: "no-cors", credentials: "include" },
            { headers: { "content-type": "application/x-www-form-urlencoded" }, mode: "no-cors" },
          ];
          for (const how of tries) {
            const answer = await fetch(`${url}/rpc`, { method: "POST", body, ...how }).catch(
              () => null,
            );
            told.push(answer === null ? "refused" : `${answer.type} ${answer.status}`);
          }
          const get = await fetch(`${url}/doctor`).catch(() => null);
          told.push(get === null ? "refused" : get.type);
          return [
            ...told,
            navigator.sendBeacon(`${url}/rpc`, new Blob([body], { type: "text/plain" })),
          ];
        },
        on.serve.url,
        CREATE,
      );
      assert.deepEqual(tried, [
        "refused",
        "refused",
        "opaque 0",
        "opaque 0",
        "opaque 0",
        "refused",
        true,
      ]);
    });
  }
});

test("it cannot send a form", async () => {
  for (const place of places()) {
    await from(place, async (page) => {
      await page.evaluate(
        (url, body) => {
          const form = document.createElement("form");
          Object.assign(form, { method: "POST", action: `${url}/rpc`, enctype: "text/plain" });
          const input = document.createElement("input");
          // The name, "=", and the value make the body.
          [input.name, input.value] = [body.slice(0, -2), `${body.slice(-2)}`];
          form.append(input);
          document.body.append(form);
          form.submit();
        },
        on.serve.url,
        CREATE,
      );
      await page.sees("may not talk to this server");
    });
  }
});

test("it cannot open a terminal", async () => {
  for (const place of places()) {
    await from(place, async (page) => {
      const told = await page.evaluate(
        async (url, id) => {
          const told = [];
          for (const path of [
            `terminal/${id}?control=1`,
            `sandbox/${id}/stream`,
            `sandbox/${id}/exec`,
          ]) {
            const socket = new WebSocket(`${url.replace("http", "ws")}/${path}`, ["capsule.v1"]);
            told.push(
              await new Promise((resolve) => {
                socket.onopen = () => resolve("open");
                socket.onerror = () => resolve("refused");
              }),
            );
          }
          return told;
        },
        on.serve.url,
        id,
      );
      assert.deepEqual(told, ["refused", "refused", "refused"]);
    });
  }
});

/** What the only frame of a page holds, which the page itself cannot see. */
async function framed(page) {
  const expression = "document.documentElement.textContent";
  const { frameTree } = await page.send("Page.getFrameTree", {});
  if (frameTree.childFrames) {
    const { frame } = frameTree.childFrames[0];
    const world = await page.send("Page.createIsolatedWorld", { frameId: frame.id });
    const asked = { expression, contextId: world.executionContextId };
    return (await page.send("Runtime.evaluate", asked)).result.value;
  }
  // A frame of another site is in a process of its own.
  const { targetInfos } = await on.browser.send("Target.getTargets");
  const { targetId } = targetInfos.find(({ type }) => type === "iframe");
  const asked = { targetId, flatten: true };
  const { sessionId } = await on.browser.send("Target.attachToTarget", asked);
  return (await on.browser.send("Runtime.evaluate", { expression }, sessionId)).result.value;
}

test("it cannot have the page in a frame, nor load parts of it", async () => {
  for (const place of places()) {
    await from(place, async (page) => {
      const loaded = await page.evaluate(async (url) => {
        const load = (name, attributes) =>
          new Promise((resolve) => {
            const made = Object.assign(document.createElement(name), attributes);
            made.onload = () => resolve(true);
            made.onerror = () => resolve(false);
            document.body.append(made);
          });
        const frame = load("iframe", { src: `${url}/` });
        return [
          await load("script", { src: `${url}/assets/theme.js` }),
          await load("img", { src: `${url}/assets/icon.svg` }),
          await load("link", { rel: "stylesheet", href: `${url}/assets/style.css` }),
          await frame,
        ];
      }, on.serve.url);
      assert.deepEqual(loaded.slice(0, 3), [false, false, false]);
      // A frame that was refused loads, too: the refusal.
      assert.match(await framed(page), /"type":"FOREIGN_ORIGIN"/);
    });
  }
});

test("a link to the page can be followed, and the place of the link has no hold on it", async () => {
  for (const place of places()) {
    await from(place, async (page) => {
      const held = await page.evaluate(async (url) => {
        const opened = window.open(`${url}/`);
        for (let tries = 0; tries < 200 && !opened.closed; tries += 1)
          await new Promise((resolve) => setTimeout(resolve, 50));
        return opened.closed;
      }, on.serve.url);
      assert.equal(held, true, "the window is out of its reach");
      await page.goto(`${on.serve.url}/`);
      await page.sees("Sandboxes");
    });
  }
});

test("a name that was bound to this machine is no name of the server", async () => {
  const page = await on.browser.open();
  const { port } = new URL(on.serve.url);
  try {
    await page.goto(`http://${REBOUND}:${port}/`);
    await page.sees("this server is not called");
    const told = await page.evaluate(
      async (body, id) => {
        const headers = { "content-type": "application/json" };
        const answers = [
          await fetch("/rpc", { method: "POST", headers, body }),
          await fetch("/doctor"),
          await fetch(`/sandbox/${id}/files?path=x`, { method: "PUT", body: "x" }),
          await fetch("/assets/app.js"),
        ];
        const socket = new WebSocket(`ws://${location.host}/terminal/${id}`);
        const opened = await new Promise((resolve) => {
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        });
        return [...answers.map(({ status }) => status), opened];
      },
      CREATE,
      id,
    );
    assert.deepEqual(told, [403, 403, 403, 403, false]);
  } finally {
    await page.close();
  }
  assert.equal((await on.serve.call("list")).sandboxes.length, 1);
});
