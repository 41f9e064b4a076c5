// What sandboxes used, as this page has seen it: for the charts.

import { calls } from "./server.js";

/** How far back it goes, and how many sandboxes and samples are kept. */
export const SPAN = 5 * 60_000;
const MOST_SANDBOXES = 200;
const MOST_SAMPLES = 400;

const kept = new Map();

export function samplesOf(id) {
  return kept.get(id) ?? [];
}

export function lastOf(id) {
  return samplesOf(id).at(-1) ?? null;
}

/** Asks what these sandboxes use, and keeps the answers. */
export async function sample(ids, options) {
  const answers = await calls(
    "stats",
    ids.map((id) => ({ id })),
    options,
  );
  const time = Date.now();
  ids.forEach((id, place) => {
    if (answers[place] !== null) keep(id, answers[place], time);
  });
}

function keep(id, stats, time) {
  const samples = kept.get(id) ?? [];
  // The one that was looked at last is dropped last.
  kept.delete(id);
  kept.set(id, samples);
  if (kept.size > MOST_SANDBOXES) kept.delete(kept.keys().next().value);
  const before = samples.at(-1);
  const seconds = before ? (time - before.time) / 1000 : 0;
  // Counters of a sandbox only grow, but for one that a new server has adopted.
  const rate = (name) => {
    const grown = before && seconds > 0.2 ? stats[name] - before.stats[name] : Number.NaN;
    return grown >= 0 ? grown / seconds : null;
  };
  const processor = rate("cpu_time_ms");
  samples.push({
    time,
    stats,
    cpu: processor === null ? null : processor / 10,
    memory: stats.memory_bytes ?? null,
    disk: stats.disk_bytes ?? null,
    processes: stats.processes ?? null,
    read: rate("io_bytes_read"),
    written: rate("io_bytes_written"),
  });
  while (samples.length > MOST_SAMPLES || samples[0].time < time - 2 * SPAN) samples.shift();
}
