// Asks again and again, as long as somebody looks: never twice at once, not while the page is
// hidden, and more and more rarely while there is no answer.

const SLOWEST = 30_000;

/** Runs `task` now and every so often. Answers what stops it. */
export function poll(task, every) {
  let timer = null;
  let pause = every;
  let isOver = false;
  let isRunning = false;

  async function run() {
    timer = null;
    if (isOver || isRunning || document.visibilityState === "hidden") return;
    isRunning = true;
    try {
      await task();
      pause = every;
    } catch {
      // Whoever is asked tells of it; here only the pause grows.
      pause = Math.min(pause * 2, SLOWEST);
    } finally {
      isRunning = false;
    }
    if (!isOver && document.visibilityState !== "hidden") timer = setTimeout(run, pause);
  }

  function look() {
    clearTimeout(timer);
    timer = null;
    if (document.visibilityState !== "hidden") {
      pause = every;
      run();
    }
  }

  document.addEventListener("visibilitychange", look);
  run();
  return () => {
    isOver = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}
