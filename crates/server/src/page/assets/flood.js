// Output that comes faster than it can be drawn. A socket in a browser cannot be made to wait,
// so what is not drawn yet would pile up without bound.

/** Bytes that may wait to be drawn; of a flood beyond, the last ones are kept. */
const MOST_WAITING = 2 << 20;
const MOST_KEPT = 256 << 10;

/** Writes to the screen; of a flood it drops the middle, rather than hold all of it. */
export function writer(screen) {
  let waiting = 0;
  let dropped = 0;
  let kept = [];
  let size = 0;

  function draw(bytes) {
    waiting += bytes.length;
    screen.write(bytes, () => {
      waiting -= bytes.length;
      // Something waits as long as anything is kept, so this comes.
      if (waiting < MOST_WAITING / 2) goOn();
    });
  }

  function goOn() {
    const pieces = kept;
    [kept, size] = [[], 0];
    // Cancels a sequence that was cut through.
    if (dropped > 0) screen.write(`\u0018\u001b[0m\r\n[${dropped} bytes not shown]\r\n`);
    dropped = 0;
    for (const piece of pieces) draw(piece);
  }

  return (bytes) => {
    if (kept.length === 0 && waiting <= MOST_WAITING) {
      draw(bytes);
      return;
    }
    kept.push(bytes);
    size += bytes.length;
    while (size > MOST_KEPT && kept.length > 1) {
      const first = kept.shift();
      size -= first.length;
      dropped += first.length;
    }
  };
}
