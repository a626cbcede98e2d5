// Watch a run from Node.js, without a gap across lost connections. Needs `npm ci` once.
//
//     node examples/watch.mjs RUN_ID [URL] [AFTER]
//
// Ends with 0 if the run completed and 1 if it did not, or if there is no way to tell.
import { readFileSync } from "node:fs";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [runId, url = process.env.GQL_APP_URL ?? "http://127.0.0.1:8000", after = "0"] = process.argv.slice(2);
if (runId === undefined) {
  console.error("usage: node examples/watch.mjs RUN_ID [URL] [AFTER]");
  process.exit(2);
}

// The operation is published with the schema. Your own program may select other fields.
const query = readFileSync(new URL("../schema/operations/WorkflowUpdates.graphql", import.meta.url), "utf8");

// graphql-ws sends the subscription again after a reconnect, with the variables as they are then. So `after` is kept at
// the last event told: nothing is missed, and nothing told twice.
const variables = { id: runId, after: Number(after) };

const client = createClient({
  url: `${url.replace(/^http/, "ws").replace(/\/$/, "")}/graphql`,
  webSocketImpl: WebSocket, // browsers, and Node.js 22 and later, have their own
  retryAttempts: 10,
  // By default a server that is not there yet, or not again yet, ends it all.
  shouldRetry: () => true,
  // From half a second, doubled to ten seconds, and spread so that clients do not all come back at once.
  retryWait: (retries) =>
    new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 500 * 2 ** retries) * (0.5 + Math.random() / 2))),
  on: {
    connecting: (isRetry) => isRetry && console.error(`Not connected; trying again, after ${variables.after}.`),
  },
});

let status = "Nothing happened after that.";

try {
  for await (const { data, errors } of client.iterate({ query, variables })) {
    if (errors) throw errors;
    const update = data.workflowUpdates;
    variables.after = update.sequence;
    for (const event of update.events) console.log(line(event));
    status = update.workflow.status;
  }
  console.log(status);
} catch (problem) {
  // A list holds GraphQL's errors; anything else is the end of a connection that did not come back.
  console.error(Array.isArray(problem) ? problem[0].message : `Cannot reach ${url}: ${problem.reason || problem.message}`);
}
await client.dispose();
process.exitCode = status === "COMPLETED" ? 0 : 1;

// With an attempt, or the try of a step, that failed, a program that shows the text drops what that one streamed.
function line({ __typename, sequence, nodeId, attempt, error, text }) {
  const told = error ? `${error.type}: ${error.message}` : text && JSON.stringify(text);
  const subject = [nodeId, attempt && `attempt ${attempt}`, told];
  return `${String(sequence).padStart(4)}  ${[__typename, ...subject].filter(Boolean).join(" ")}`;
}
