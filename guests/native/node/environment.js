// process.env: Node's own. What the task was granted comes with the first frame and not with
// the process, so that nothing of it (NODE_OPTIONS) decides how Node starts.

/** Sets variables. */
export function fill(pairs) {
  for (const [name, value] of pairs) process.env[name] = value;
}

/** Whether a program looked at them while it declared: none declares here. */
export const looked = () => true;
