/** Where the capsule binary is. Nothing is guessed: a place that is named must hold it. */

import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { BinaryNotFound } from "./errors.js";

/** The binary: as named, else `CAPSULE_BIN`, else the package's own, else on `PATH`. */
export function find(named?: string): string {
  if (named !== undefined) return checked(named, "capsulePath");
  const variable = process.env["CAPSULE_BIN"];
  if (variable) return checked(variable, "CAPSULE_BIN");
  const carried = fileURLToPath(new URL("../bin/capsule", import.meta.url));
  if (isProgram(carried)) return carried;
  const found = onPath("capsule");
  if (found !== undefined) return found;
  throw new BinaryNotFound(
    "there is no capsule binary: not in CAPSULE_BIN, not in this package, not on PATH",
    {
      hint: "build it with `make build` and set CAPSULE_BIN to dist/capsule, or pass capsulePath",
    },
  );
}

function checked(name: string, who: string): string {
  // A bare name is looked for on PATH, as a shell would.
  const found = name.includes("/") ? resolve(name) : onPath(name);
  if (found !== undefined && isProgram(found)) return found;
  const what = existsSync(name) ? "cannot be executed" : "does not exist";
  throw new BinaryNotFound(`${who} names "${name}", which ${what}`, {
    hint: "name the capsule binary itself",
  });
}

function onPath(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
