import { run } from "@capsule-run/sdk/runner";

const result = await run({
  file: "./hello.ts",
  args: []
});

console.log(result.success, result.result, result.error, result.execution.task_name);
