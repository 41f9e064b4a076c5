/**
 * Reads one folder, writes to another, and sees nothing else.
 *
 *     capsule run examples/tasks/files/main.ts
 */

import { open } from "node:fs/promises";

import { files, task } from "@capsule-run/sdk";

export const main = task(
  {
    name: "main",
    allowedFiles: [
      { path: "./data", mode: "ro" },
      { path: "./report", mode: "rw" },
    ],
  },
  async () => {
    const [head, ...rows] = (await files.readText("data/planets.csv")).trim().split(/\r?\n/);
    const columns = head.split(",");
    const of = (row: string, name: string) => row.split(",")[columns.indexOf(name)];
    const planets = rows
      .map((row) => ({
        name: of(row, "name"),
        axis: Number(of(row, "semi_major_axis_au")),
        period: Number(of(row, "period_days")),
      }))
      .sort((one, other) => one.axis - other.axis);
    const lines = planets.map(({ name, axis, period }) => {
      const constant = Math.round(period ** 2 / axis ** 3);
      return name.padEnd(10) + String(constant).padStart(10);
    });
    await files.writeText("report/kepler.txt", `${lines.join("\n")}\n`);

    const refused: Record<string, string> = {};
    for (const path of ["data/planets.csv", "main.ts", "/etc/passwd"]) {
      try {
        await (await open(path, "r+")).close();
      } catch (error) {
        refused[path] = (error as NodeJS.ErrnoException).code ?? String(error);
      }
    }
    return { planets: rows.length, refused };
  },
);
