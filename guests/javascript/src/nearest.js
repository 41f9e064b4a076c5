// What somebody may have meant by a word that is not known.

/** `; did you mean "x"?`, or nothing. */
export function nearest(word, known) {
  let best;
  for (const candidate of known) {
    const far = distance(word.toLowerCase().replace(/_/g, ""), candidate.toLowerCase());
    if (far <= Math.max(1, candidate.length / 3) && (best === undefined || far < best.far)) {
      best = { candidate, far };
    }
  }
  return best === undefined ? "" : `; did you mean "${best.candidate}"?`;
}

/** Letters that are added, removed or replaced between two words. */
function distance(a, b) {
  if (Math.abs(a.length - b.length) > 8) return 99;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, replaced));
    }
    row = next;
  }
  return row[b.length];
}
