// One run, live: as it is, then everything that changes, to its end.

import { explain, type Service } from "./client";
import { make } from "./dom";
import { graphql, type FragmentType } from "./gql";
import { NodeTable, type NodeRow } from "./nodeRow";
import { Head, type RunHead } from "./runHead";
import type { RunRow } from "./runRow";

const RunNow = graphql(`
  query RunNow($id: ID!) {
    workflow(id: $id) {
      sequence
      finishedAt
      ...RunHead
      ...RunRow
      nodes {
        ...NodeRow
      }
    }
  }
`);

const RunUpdates = graphql(`
  subscription RunUpdates($id: ID!, $after: Int!) {
    workflowUpdates(id: $id, after: $after, only: [STATUS, OUTPUT, PROGRESS]) {
      sequence
      changedNodes {
        ...NodeRow
      }
      workflow {
        ...RunHead
        ...RunRow
      }
    }
  }
`);

const RunOutput = graphql(`
  query RunOutput($id: ID!) {
    workflow(id: $id) {
      output
    }
  }
`);

type RunData = FragmentType<typeof RunHead> & FragmentType<typeof RunRow>;

export class RunView {
  readonly #service: Service;
  readonly #id: string;
  readonly #told: (data: FragmentType<typeof RunRow>) => void;
  readonly #head = new Head();
  readonly #nodes = new NodeTable();
  readonly #text = make("pre");
  readonly #output = make("div", { hidden: true }, make("h3", {}, "Output"), this.#text);
  // Read aloud when it changes. How far the run is stands beside it, for that changes all the time.
  readonly #message = make("span", { role: "status" });
  readonly #place = make("span");
  #after = 0;
  #stop = (): void => {};

  /** `told` hears of each change, for who else shows the run. */
  constructor(service: Service, id: string, section: HTMLElement, told: (data: FragmentType<typeof RunRow>) => void) {
    [this.#service, this.#id, this.#told] = [service, id, told];
    const line = make("p", { className: "bar message quiet" }, this.#message, this.#place);
    section.replaceChildren(this.#head.element, line, this.#nodes.element, this.#output);
  }

  /** Show the run, and watch it. */
  async start(): Promise<void> {
    this.#say("Reading the run …");
    let stopped = false;
    this.#stop = () => (stopped = true);
    const { data, error } = await this.#service.client.query(RunNow, { id: this.#id });
    if (stopped) return;
    if (error) return this.#say(explain(error));
    if (!data?.workflow) return this.#say("There is no such run.");
    this.#show(data.workflow.sequence, data.workflow, data.workflow.nodes);
    if (data.workflow.finishedAt) await this.#end();
    else this.#watch();
  }

  /** Watch no longer. */
  stop(): void {
    this.#stop();
  }

  /** Go on after the state that was read: what happened since is told first, and nothing is told twice. */
  #watch(): void {
    this.#service.line.connected = () => this.#say("Live.");
    this.#service.line.lost = (reason) => this.#say(`The connection was lost (${reason}); it is made again.`);
    const updates = this.#service.client.subscription(RunUpdates, { id: this.#id, after: this.#after });
    const { unsubscribe } = updates.subscribe(({ data, error, hasNext }) => {
      if (error) return this.#say(explain(error));
      if (data) {
        const { sequence, changedNodes, workflow } = data.workflowUpdates;
        this.#show(sequence, workflow, changedNodes);
        this.#say("Live.");
      }
      if (!hasNext) void this.#end();
    });
    this.#stop = unsubscribe;
  }

  async #end(): Promise<void> {
    this.#stop();
    this.#say("Ended.");
    const { data } = await this.#service.client.query(RunOutput, { id: this.#id });
    const output = data?.workflow?.output ?? null;
    this.#output.hidden = output === null;
    this.#text.textContent = typeof output === "string" ? output : JSON.stringify(output, null, 2);
  }

  #show(sequence: number, run: RunData, nodes: readonly FragmentType<typeof NodeRow>[]): void {
    this.#after = sequence;
    this.#place.textContent = `after event ${sequence}`;
    this.#head.show(run);
    this.#told(run);
    this.#nodes.show(nodes);
  }

  #say(text: string): void {
    if (this.#message.textContent !== text) this.#message.textContent = text;
  }
}
