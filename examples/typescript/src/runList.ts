// The list of runs, newest first, a page at a time.

import type { Client } from "@urql/core";
import sample from "../../sample_workflow.json";
import { explain } from "./client";
import { make } from "./dom";
import { graphql, type FragmentType } from "./gql";
import { Row, type RunRow } from "./runRow";

const Runs = graphql(`
  query Runs($first: Int!, $after: String) {
    workflows(first: $first, after: $after) {
      nodes {
        id
        ...RunRow
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

const Submit = graphql(`
  mutation Submit($spec: WorkflowSpecInput!) {
    submitWorkflow(spec: $spec) {
      __typename
      ... on SubmitWorkflowSuccess {
        workflow {
          id
          ...RunRow
        }
      }
      ... on InvalidWorkflow {
        problems {
          message
          pointer
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

const PAGE = 10;

export class RunList {
  readonly #client: Client;
  readonly #rows = new Map<string, Row>();
  readonly #list = make("ul", { className: "runs" });
  readonly #message = make("p", { className: "message quiet", role: "status" });
  readonly #submit = make("button", { className: "first", textContent: "Submit the sample", onclick: () => this.#add() });
  readonly #reload = make("button", { textContent: "Reload", onclick: () => this.load() });
  readonly #more = make("button", { textContent: "Show older runs", hidden: true, onclick: () => this.#load() });
  #after: string | null = null;
  #current = "";

  constructor(client: Client, section: HTMLElement) {
    this.#client = client;
    const bar = make("div", { className: "bar" }, make("h2", {}, "All runs"), make("span", {}, this.#submit, " ", this.#reload));
    section.replaceChildren(bar, this.#message, this.#list, this.#more);
  }

  /** Read the first page. */
  async load(): Promise<void> {
    this.#after = null;
    await this.#load();
  }

  /** Show a run anew, if it is in the list. */
  show(id: string, data: FragmentType<typeof RunRow>): void {
    this.#rows.get(id)?.show(data);
  }

  /** Mark the run that is watched. */
  mark(id: string): void {
    this.#rows.get(this.#current)?.mark(false);
    this.#rows.get(id)?.mark(true);
    this.#current = id;
  }

  async #load(): Promise<void> {
    this.#busy(true);
    const { data, error } = await this.#client.query(Runs, { first: PAGE, after: this.#after });
    this.#busy(false);
    if (error || !data) return this.#say(error ? explain(error) : "The service told nothing.");
    const { nodes, pageInfo } = data.workflows;
    if (this.#after === null) {
      this.#rows.clear();
      this.#list.replaceChildren();
    }
    for (const run of nodes) this.#list.append(this.#row(run.id, run).element);
    this.#after = pageInfo.endCursor ?? null;
    this.#more.hidden = !pageInfo.hasNextPage;
    this.mark(this.#current);
    this.#say(this.#rows.size === 0 ? "There are no runs yet." : `${this.#rows.size} shown, newest first.`);
  }

  async #add(): Promise<void> {
    this.#busy(true);
    const { data, error } = await this.#client.mutation(Submit, { spec: sample });
    this.#busy(false);
    const result = data?.submitWorkflow;
    if (error || !result) return this.#say(error ? explain(error) : "The service told nothing.");
    switch (result.__typename) {
      case "SubmitWorkflowSuccess":
        this.#list.prepend(this.#row(result.workflow.id, result.workflow).element);
        this.#say("The sample is submitted.");
        location.hash = result.workflow.id;
        break;
      case "InvalidWorkflow":
        this.#say(result.problems.map(({ message, pointer }) => `${pointer}: ${message}`).join(" "));
        break;
      default:
        // Whatever else there is, now or later, is an Error and has a message.
        this.#say(result.message);
    }
  }

  #row(id: string, data: FragmentType<typeof RunRow>): Row {
    const row = new Row(data);
    this.#rows.set(id, row);
    return row;
  }

  #busy(busy: boolean): void {
    for (const button of [this.#submit, this.#reload, this.#more]) button.disabled = busy;
  }

  #say(text: string): void {
    this.#message.textContent = text;
  }
}
