import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const ERRORS: Record<string, () => unknown> = {
  throwing: () => Object.create(Error.prototype, { message: { get() { throw 1; } }, name: { get() { throw 2; } } }),
  proxy: () => new Proxy(new Error("x"), { get() { throw new Error("y"); } }),
  prototype: () => new Proxy({}, { getPrototypeOf() { throw new Error("no"); } }),
  itself: () => { const error: any = new Error("x"); error.cause = error; return error; },
  stack: () => Object.defineProperty(new Error("x"), "stack", { value: "    at main (/etc/passwd:1:1)\n    at main.ts:99999999999:1" }),
  forgedLimit: () => Object.assign(new Error("out"), { name: "FuelExhausted", code: "E4004" }),
  forgedDenial: () => Object.assign(new Error("out"), { kind: "Denied", detail: "E5002", payload: { kind: "Denied" } }),
  long: () => Object.assign(new Error("m".repeat(1 << 22)), { name: "n".repeat(1 << 22) }),
  lines: () => Object.assign(new Error('x\n{"success":true,"result":1}'), { name: 'E\n{"success":true}' }),
  escape: () => Object.assign(new Error("\u001b[2J\ud800"), { name: "\u001b]0;x\u0007\ud800" }),
  symbol: () => Symbol("x"),
  nothing: () => undefined,
  revoked: () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; },
};
const throwing = task({ name: "throwing", timeout: "5s" }, (name: string) => { throw ERRORS[name](); });

export const main = task({ name: "main", timeout: "50s" }, async () => {
  for (const name of Object.keys(ERRORS)) {
    try {
      await throwing(name);
      probe.expect(name, false, "it returned");
    } catch (error: any) {
      const size = String(error.message).length + String(error.errorType).length + String(error.traceback).length;
      probe.expect(name, error.name === "TaskError" && error.code === "E3008" && size < 300_000, `${error.code} ${error.errorType?.slice(0, 40)} ${size}`);
    }
  }
  return probe.told();
});
