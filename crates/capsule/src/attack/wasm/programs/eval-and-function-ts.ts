import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;
const CODE: [string, string][] = [
  ["a file", "return require('fs').readFileSync('/private', 'utf8')"],
  ["outside", "return require('fs').readFileSync('@OUTSIDE@/secret', 'utf8')"],
  ["a host", "return fetch('http://127.0.0.1:@PORT@/')"],
  ["a variable", "if (!('@VARIABLE@' in process.env)) throw new Error('none'); return process.env['@VARIABLE@']"],
  ["a process", "return require('child_process').execSync('id')"],
  ["the engine", "return [source, emit, $bindings, contentGlobal][0]"],
  ["another realm", "return new ShadowRealm().evaluate('1')"],
  ["a module", "return import('wasi:filesystem/preopens@0.2.0').then((m) => m.getDirectories()[0][0].openAt({ symlinkFollow: true }, '../private', {}, { read: true }))"],
];

export const main = task({ name: "main" }, async () => {
  (globalThis as any).require = require;
  const AsyncFunction: any = (async () => {}).constructor;
  const Generator: any = (function* () {}).constructor;
  for (const [what, code] of CODE) {
    await probe.refused(`eval: ${what}`, () => eval(`(() => { ${code} })()`));
    await probe.refused(`indirect eval: ${what}`, () => (0, eval)(`(() => { ${code} })()`));
    await probe.refused(`Function: ${what}`, () => new Function(code)());
    await probe.refused(`AsyncFunction: ${what}`, () => new AsyncFunction(code)());
    await probe.refused(`GeneratorFunction: ${what}`, () => {
      const { value } = new Generator(code)().next();
      return value;
    });
    await probe.refused(`constructor of a constructor: ${what}`, () => ([] as any).constructor.constructor(code)());
  }
  await probe.control("eval itself", () => eval("1 + 1"));
  return probe.told();
});
