// Watches runs with the clients that frontends use, over server-sent events and multipart.
//
// Prints a line of JSON for each part: what all clients were told. "watching" and "about to be left" are lines too:
// then every client has heard something of the run that the test will cut it off from.
import { request } from "node:http";

import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { CombinedGraphQLErrors, CombinedProtocolErrors } from "@apollo/client/errors";
import { Client, fetchExchange } from "@urql/core";
import { createClient } from "graphql-sse";
import { meros } from "meros/node";
import { onEnd, pipe, subscribe } from "wonka";

const [url, finished, cut, left] = process.argv.slice(2);
const HEALTH = "query Health { health { status } }";
const RENAME = `mutation Submit($spec: WorkflowSpecInput!) {
  submitWorkflow(spec: $spec) { __typename ... on SubmitWorkflowSuccess { workflow { name } } }
}`;
const WATCH = `subscription Watch($id: ID!, $after: Int) {
  workflowUpdates(id: $id, after: $after) { sequence events { sequence } }
}`;
const INVALID = "query Nothing { nothing }";
const SPEC = { name: "from-a-client", nodes: [{ id: "a", tool: "echo", input: { value: 1 } }] };

const tell = (part, told) => console.log(JSON.stringify({ part, told }));
const update = (data) => data.workflowUpdates;

// Each client: `once` carries out an operation; `watch` tells every update, and how it ended.

function graphqlSse() {
  let last;
  let connections = 0;
  const client = createClient({
    url,
    retry: async () => {},
    // A client that retries sends the same operation. Where it goes on is told beside it.
    headers: () => (last === undefined ? {} : { "last-event-id": String(last) }),
    on: { connecting: () => { connections += 1; } },
  });
  return {
    once: (query, variables) =>
      new Promise((resolve, reject) => {
        let result;
        client.subscribe({ query, variables }, {
          next: (value) => { result = value; },
          error: (error) => resolve({ failed: error.response?.status ?? reject(error) }),
          complete: () => resolve(result),
        });
      }),
    watch: (id, after, next) =>
      new Promise((resolve) => {
        const before = connections;
        client.subscribe({ query: WATCH, variables: { id, after } }, {
          next: ({ data, errors }) => {
            if (errors) return resolve({ errors: errors.map((error) => error.extensions.code) });
            last = update(data).sequence;
            next(update(data));
          },
          error: (error) => resolve({ error: error.name }),
          complete: () => resolve({ complete: true, connections: connections - before }),
        });
      }).finally(() => { last = undefined; }),
    stop: () => client.dispose(),
  };
}

function urql() {
  const client = new Client({ url, exchanges: [fetchExchange], fetchSubscriptions: true, preferGetMethod: false });
  const shown = ({ data, error }) => {
    if (error) return { errors: error.graphQLErrors.map((each) => each.message), failed: error.response?.status };
    return { data };
  };
  return {
    once: async (query, variables) => {
      const kind = query.startsWith("mutation") ? "mutation" : "query";
      return shown(await client[kind](query, variables).toPromise());
    },
    watch: (id, after, next) =>
      new Promise((resolve) => {
        pipe(
          client.subscription(WATCH, { id, after }),
          onEnd(() => resolve({ complete: true })),
          subscribe(({ data, error, hasNext }) => {
            // At the end of a stream it tells the last result once more.
            if (!error && !hasNext) return;
            if (error?.networkError) resolve({ error: "network" });
            else if (error) resolve({ errors: error.graphQLErrors.map((each) => each.extensions.code) });
            else next(update(data));
          }),
        );
      }),
    stop: () => {},
  };
}

function apollo() {
  const client = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: url }) });
  const codes = (error) => {
    if (CombinedGraphQLErrors.is(error)) return { errors: error.errors.map((each) => each.extensions?.code) };
    if (CombinedProtocolErrors.is(error)) return { transport: error.errors.map((each) => each.extensions.code) };
    return { error: error.message };
  };
  return {
    once: async (query, variables) => {
      const document = gql(query);
      try {
        const { data } = query.startsWith("mutation")
          ? await client.mutate({ mutation: document, variables })
          : await client.query({ query: document, variables, fetchPolicy: "no-cache" });
        return { data };
      } catch (error) {
        return codes(error);
      }
    },
    watch: (id, after, next) =>
      new Promise((resolve) => {
        client.subscribe({ query: gql(WATCH), variables: { id, after }, fetchPolicy: "no-cache" }).subscribe({
          next: ({ data, error }) => (error ? resolve(codes(error)) : next(update(data))),
          error: (error) => resolve(codes(error)),
          complete: () => resolve({ complete: true }),
        });
      }),
    stop: () => client.stop(),
  };
}

function merosParts() {
  const post = (query, variables) =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", accept: "multipart/mixed" };
      const sent = request(url, { method: "POST", headers }, (response) => resolve(meros(response))).on("error", reject);
      sent.end(JSON.stringify({ query, variables }));
    });
  return {
    once: async (query, variables) => {
      const parts = await post(query, variables);
      if (parts.statusCode) return { failed: parts.resume().statusCode };
      for await (const { body } of parts) return body.payload;
    },
    watch: async (id, after, next) => {
      try {
        for await (const { body } of await post(WATCH, { id, after })) {
          if (body.payload === null) return { transport: body.errors.map((error) => error.extensions.code) };
          if (body.payload?.errors) return { errors: body.payload.errors.map((error) => error.extensions.code) };
          if (body.payload) next(update(body.payload.data));
        }
        return { complete: true };
      } catch (error) {
        return { error: error.code };
      }
    },
    stop: () => {},
  };
}

const clients = { "graphql-sse": graphqlSse(), urql: urql(), apollo: apollo(), meros: merosParts() };
const all = async (ask) =>
  Object.fromEntries(
    await Promise.all(Object.entries(clients).map(async ([name, client]) => [name, await ask(client, name)])),
  );
const sequences = (updates) => updates.flatMap(({ events }) => events.map(({ sequence }) => sequence));

async function fromTheBeginning(client) {
  const updates = [];
  const end = await client.watch(finished, 0, (found) => updates.push(found));
  return { sequences: sequences(updates), end };
}

/** Watch to the end of the run, whatever comes in between: go on after the last update. */
async function toTheEnd(client, noted) {
  const updates = [];
  const ends = [];
  for (;;) {
    const end = await client.watch(cut, updates.at(-1)?.sequence ?? 0, (found) => {
      updates.push(found);
      noted();
    });
    ends.push(end);
    if (end.complete || ends.length > 5) return { sequences: sequences(updates), ends };
  }
}

/** Start watching with every client; tells it once each of them has heard something. */
async function watchAll(part, watch) {
  const heard = new Set();
  const told = all((client, name) =>
    watch(client, () => {
      if (!heard.has(name) && heard.add(name).size === Object.keys(clients).length) tell(part, [...heard].sort());
    }),
  );
  return told;
}

tell("query", await all((client) => client.once(HEALTH)));
tell("mutation", await all((client) => client.once(RENAME, { spec: SPEC })));
tell("invalid", await all((client) => client.once(INVALID)));
tell("unknown run", await all((client) => client.watch("nothing", 0, () => {})));
tell("from the beginning", await all(fromTheBeginning));
tell("to the end", await watchAll("watching", toTheEnd));
tell("left", await watchAll("about to be left", (client, noted) => client.watch(left, 0, noted)));
Object.values(clients).forEach((client) => client.stop());
process.exit(0);
