// What is said of the run that is watched: its name, how far it is, and why it failed.

import { make, makeStatus } from "./dom";
import { graphql, readFragment, type FragmentType } from "./gql";

export const RunHead = graphql(`
  fragment RunHead on WorkflowRun {
    name
    status
    progress {
      fraction
    }
    error {
      message
      nodeId
    }
  }
`);

export class Head {
  readonly element = make("div");
  readonly #name = make("h2");
  readonly #status = makeStatus();
  readonly #progress = make("progress", { max: 1, value: 0, ariaLabel: "Nodes that have ended" });
  readonly #error = make("p", { className: "message" });

  constructor() {
    this.#status.element.role = "status";
    this.element.append(make("div", { className: "bar" }, this.#name, this.#status.element), this.#progress, this.#error);
  }

  show(data: FragmentType<typeof RunHead>): void {
    const run = readFragment(RunHead, data);
    this.#name.textContent = run.name;
    this.#status.show(run.status);
    this.#progress.value = run.progress.fraction;
    this.#error.hidden = !run.error;
    this.#error.textContent = run.error ? [run.error.nodeId, run.error.message].filter(Boolean).join(": ") : "";
  }
}
