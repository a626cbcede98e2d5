// Uses a service over websockets with the client that most frontends use.
//
// Prints a line of JSON for each part: what the client was told. "started" is a line, too, each time a node of the run
// has started that the test disturbs the connection of, "connected" when that is there again, and "about to be left"
// once the server may stop.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, finished, disturbed, left, first, second] = process.argv.slice(2);
const HEALTH = "query Health { health { status } }";
const SUBMIT = `mutation Submit($spec: WorkflowSpecInput!) {
  submitWorkflow(spec: $spec) { __typename ... on SubmitWorkflowSuccess { workflow { name } } }
}`;
const WATCH = `subscription Watch($id: ID!, $after: Int) {
  workflowUpdates(id: $id, after: $after) { sequence events { __typename sequence } }
}`;
const SPEC = { name: "from-a-client", nodes: [{ id: "a", tool: "echo", input: { value: 1 } }] };

const tell = (part, told) => console.log(JSON.stringify({ part, told }));
const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
const bearer = (key) => ({ authorization: `Bearer ${key}` });

/** Make a client that notes what becomes of its connections. */
function connected(options = {}) {
  const noted = { opened: 0, codes: [] };
  const { on, ...others } = options;
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: () => bearer(first),
    retryWait: soon,
    ...others,
    on: {
      opened: () => { noted.opened += 1; },
      closed: ({ code }) => noted.codes.push(code),
      ...on,
    },
  });
  return { client, noted };
}

/** Carry out an operation; tells its results, and its errors or the close of the connection that ended it. */
function carryOut(client, query, variables, next = () => {}) {
  const results = [];
  return new Promise((resolve) => {
    client.subscribe({ query, variables }, {
      next: (result) => {
        results.push(result);
        next(result);
      },
      error: (error) => resolve({ results, errors: Array.isArray(error) ? error : undefined, code: error.code }),
      complete: () => resolve({ results, complete: true }),
    });
  });
}

const events = (results) => results.flatMap(({ data }) => data.workflowUpdates.events);
const sequences = (results) => events(results).map(({ sequence }) => sequence);

{
  // Lazy, as it is by default: it connects for an operation, and closes after the last.
  let closed;
  const gone = new Promise((resolve) => { closed = resolve; });
  const { client, noted } = connected({ on: { closed: (event) => closed(event.code) } });
  const before = noted.opened;
  tell("query", await carryOut(client, HEALTH));
  tell("lazy", { before, after: noted.opened, closed: await gone });
}
{
  // Not lazy, and with pings of its own.
  let pongs = 0;
  let enough;
  const alive = new Promise((resolve) => { enough = resolve; });
  const { client, noted } = connected({
    lazy: false,
    keepAlive: 5,
    on: { pong: (received) => { if (received && (pongs += 1) === 3) enough(); } },
  });
  await alive;
  tell("kept alive", noted);
  tell("mutation", await carryOut(client, SUBMIT, { spec: SPEC }));
  tell("invalid", await carryOut(client, "query Nothing { nothing }"));
  tell("syntax error", await carryOut(client, "query Nothing {"));
  tell("unknown run", await carryOut(client, WATCH, { id: "nothing" }));
  const whole = await carryOut(client, WATCH, { id: finished, after: 0 });
  tell("from the beginning", { sequences: sequences(whole.results), complete: whole.complete });
  tell("side by side", await Promise.all([1, 2, 3].map(() => carryOut(client, HEALTH))));
  tell("one connection", noted);
  await client.dispose();
}
{
  // What the protocol forbids: the client does not come back by itself.
  const { client, noted } = connected({ generateID: () => "same" });
  const [one, two] = await Promise.all([1, 2].map(() => carryOut(client, WATCH, { id: left })));
  tell("an id twice", { ends: [one.code, two.code], ...noted });
}
{
  // A token that is not good: the client comes back, and asks for another one.
  const tokens = ["gqlapp_wrong", first];
  const { client, noted } = connected({ connectionParams: () => bearer(tokens.shift()) });
  const { results } = await carryOut(client, HEALTH);
  tell("another token", { results, ...noted });
}
{
  // Whatever becomes of the connection, the run is told whole.
  const tokens = [first, first, first];
  let connections = 0;
  const { client, noted } = connected({
    connectionParams: () => bearer(tokens.shift() ?? second),
    on: { connected: () => tell("connected", (connections += 1)) },
  });
  const variables = { id: disturbed, after: 0 };
  let started = 0;
  const { results, complete } = await carryOut(client, WATCH, variables, ({ data }) => {
    variables.after = data.workflowUpdates.sequence;
    for (const { __typename } of data.workflowUpdates.events) {
      if (__typename === "AttemptStarted") tell("started", (started += 1));
    }
  });
  tell("disturbed", { sequences: sequences(results), complete, ...noted });
}
{
  const { client, noted } = connected({ connectionParams: () => bearer(second), retryAttempts: 1 });
  const end = await carryOut(client, WATCH, { id: left }, () => tell("about to be left"));
  tell("left", { ended: Boolean(end.complete), ...noted });
}
process.exit(0);
