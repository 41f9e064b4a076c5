/** Frames and values: pure. */

import { describe, expect, test } from "vitest";

import { Incoming, MOST, pack, piece, textOf } from "../src/protocol.js";
import { decode, encode } from "../src/values.js";

describe("frames", () => {
  test("come out whole, however they come in", () => {
    const bodies = ['{"id":1,"a":"é"}', "", '{"id":22,"output":{}}', "x".repeat(70_000), "{}"];
    const bytes = Buffer.concat(bodies.map(pack));
    for (const size of [1, 3, 5, 4096, bytes.length]) {
      const incoming = new Incoming();
      const found: string[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        for (const frame of incoming.add(bytes.subarray(at, at + size))) {
          found.push(textOf(frame.bytes));
        }
      }
      expect(found).toEqual(bodies);
    }
  });

  test("say whom they are for", () => {
    const read = (text: string) =>
      [...new Incoming().add(pack(text))].map((frame) => [frame.request, frame.isOutput])[0];
    expect(read('{"id":7,"envelope":{}}')).toEqual([7, false]);
    expect(read('{"id":7,"output":{}}')).toEqual([7, true]);
    for (const text of [
      '{"id":null,"error":{}}',
      '{"id":-1,"x":1}',
      '{"id":1.5,"x":1}',
      '{"hello":{}}',
      "",
      '{"id":9999999999999999,"x":1}',
    ]) {
      expect(read(text)).toEqual([undefined, false]);
    }
  });

  test("that are too large are refused, not held", () => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(MOST + 1);
    expect(() => [...new Incoming().add(header)]).toThrow("something else than frames");
    expect(() => pack("x".repeat(MOST + 1))).toThrow("pass a file instead");
  });

  test("of output hold bytes", () => {
    const of = (output: object) =>
      piece({ request: 1, isOutput: true, bytes: Buffer.from(JSON.stringify({ id: 1, output })) });
    expect(of({ channel: "stdout", text: "é" })).toEqual(["stdout", Buffer.from("é")]);
    expect(of({ channel: "stderr", base64: "//4=" })).toEqual(["stderr", Buffer.from([255, 254])]);
  });
});

describe("values", () => {
  test("are JSON without silent changes", () => {
    const value = {
      a: [1, -0.5, "é\n", null, true],
      b: { c: undefined },
      d: new Date(0),
      e: 10n ** 20n,
    };
    const text =
      '{"a":[1,-0.5,"é\\n",null,true],"b":{},"d":"1970-01-01T00:00:00.000Z","e":100000000000000000000}';
    expect(encode(value, "args")).toBe(text);
  });

  test("that JSON cannot hold are refused by their place", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    for (const [value, words] of [
      [Number.NaN, "args[0] is NaN"],
      [undefined, "args[0] is undefined"],
      [[1, undefined], "args[0][1] is undefined"],
      // biome-ignore lint/suspicious/noSparseArray: holes are what is tested
      [[1, , 2], "args[0][1] is undefined"],
      [() => 1, "args[0] is a function"],
      [{ a: Symbol("x") }, "args[0].a is a symbol"],
      [new Map(), "args[0] is a Map"],
      [new Set(), "args[0] is a Set"],
      [Promise.resolve(), "args[0] is a Promise"],
      [new Uint8Array(), "args[0] is bytes"],
      [loop, "nested more than 100 deep"],
    ] as const) {
      expect(() => encode([value], "args")).toThrow(words);
    }
  });

  test("of any shape are read", () => {
    expect(decode('{"__proto__": {"x": 1}, "a": 1}')).toHaveProperty("a", 1);
    expect(({} as { x?: number }).x).toBeUndefined();
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    // Whatever this engine does with it, it does not end.
    try {
      decode(deep);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  });
});
