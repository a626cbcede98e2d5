// A run in the list.

import { make, makeStatus } from "./dom";
import { graphql, readFragment, type FragmentType } from "./gql";

export const RunRow = graphql(`
  fragment RunRow on WorkflowRun {
    id
    name
    status
    createdAt
    progress {
      completed
      total
    }
  }
`);

/** A row that can be shown anew. */
export class Row {
  readonly element = make("li");
  readonly #link = make("a");
  readonly #name = make("strong");
  readonly #status = makeStatus();
  readonly #created = make("time", { className: "quiet" });
  readonly #progress = make("span", { className: "quiet" });

  constructor(data: FragmentType<typeof RunRow>) {
    this.#link.append(this.#name, this.#status.element, this.#created, this.#progress);
    this.element.append(this.#link);
    this.show(data);
  }

  show(data: FragmentType<typeof RunRow>): void {
    const run = readFragment(RunRow, data);
    this.#link.href = `#${run.id}`;
    this.#name.textContent = run.name;
    this.#status.show(run.status);
    this.#created.dateTime = run.createdAt;
    this.#created.textContent = new Date(run.createdAt).toLocaleString();
    this.#progress.textContent = `${run.progress.completed} of ${run.progress.total}`;
  }

  mark(current: boolean): void {
    if (current) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }
}
