// The GraphQL client: urql over HTTP, graphql-ws for what is watched.

import { Client, fetchExchange, subscriptionExchange, type CombinedError } from "@urql/core";
import { createClient } from "graphql-ws";

/** Who is told that the connection for subscriptions stands, or was lost. */
export type Line = { connected: () => void; lost: (reason: string) => void };

export type Service = { client: Client; line: Line; dispose: () => void };

/** Make a client of the service at a URL. Nothing is sent yet. */
export function connect(url: string, token: string): Service {
  const endpoint = new URL("/graphql", url);
  const line: Line = { connected: () => {}, lost: () => {} };

  const sockets = createClient({
    url: endpoint.href.replace(/^http/, "ws"),
    connectionParams: token ? { authorization: `Bearer ${token}` } : {},
    // A server that restarts is met again. graphql-ws knows the close codes that no retry helps, but for this one.
    shouldRetry: (problem) => !(problem instanceof CloseEvent && problem.code === 4403),
    retryAttempts: Infinity,
    // From half a second, doubled to ten seconds, and spread so that clients do not all come back at once.
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 500 * 2 ** retries) * (0.5 + Math.random() / 2))),
    on: {
      connected: () => line.connected(),
      closed: (event) => {
        if (event instanceof CloseEvent && event.code !== 1000) line.lost(reasonOf(event));
      },
    },
  });

  const client = new Client({
    url: endpoint.href,
    preferGetMethod: false, // in production the service takes GET for trusted documents alone
    fetchOptions: token ? { headers: { authorization: `Bearer ${token}` } } : {},
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = "", variables }) => ({
          subscribe(sink) {
            // graphql-ws sends this again after a reconnect, as it is then: `after` is the last update that was told.
            const payload = { query, variables: { ...variables } };
            const unsubscribe = sockets.subscribe<{ workflowUpdates?: { sequence: number } }, Record<string, unknown>>(payload, {
              next(result) {
                const update = result.data?.workflowUpdates;
                if (update) payload.variables["after"] = update.sequence;
                sink.next(result);
              },
              error: (problem) => sink.error(problem instanceof CloseEvent ? new ClosedError(problem) : problem),
              complete: () => sink.complete(),
            });
            return { unsubscribe };
          },
        }),
      }),
    ],
  });

  return { client, line, dispose: () => void sockets.dispose() };
}

function reasonOf(event: CloseEvent): string {
  return event.reason || `closed with ${event.code}`;
}

/** The service closed a websocket, and a retry does not help: a token no longer holds, say. */
class ClosedError extends Error {
  constructor(event: CloseEvent) {
    super(reasonOf(event));
  }
}

/** Say what went wrong, for people. */
export function explain(error: CombinedError): string {
  const told = error.graphQLErrors[0];
  if (error.networkError instanceof ClosedError) return `The service closed the connection. ${error.networkError.message}`;
  if (told === undefined) return `The service cannot be reached: ${error.networkError?.message ?? error.message}`;
  switch (told.extensions["code"]) {
    case "UNAUTHENTICATED":
      return `${told.message} Enter a token above.`;
    case "OVERLOADED":
      return `${told.message} Try again in ${told.extensions["retryAfterSeconds"]} s.`;
    default:
      return told.message;
  }
}
