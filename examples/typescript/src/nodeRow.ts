// A node of the run that is watched.

import { make, makeStatus } from "./dom";
import { graphql, readFragment, type FragmentType } from "./gql";
import type { NodeRowFragment, NodeStatus } from "./gql/graphql";

export const NodeRow = graphql(`
  fragment NodeRow on NodeRun {
    id
    tool
    status
    attempt
    maximumAttempts
    durationSeconds
    skipReason
    outputSoFar(last: 600)
    progress {
      fraction
      message
    }
    steps(status: [RUNNING], last: 3) {
      kind
      name
    }
    error {
      type
      message
    }
    waitingOn {
      __typename
      ... on WaitingOnNodes {
        nodeIds
      }
      ... on WaitingOnRetry {
        until
      }
      ... on WaitingOnSlot {
        limit
      }
    }
  }
`);

const ENDED: ReadonlySet<NodeStatus> = new Set<NodeStatus>(["COMPLETED", "FAILED", "SKIPPED", "CANCELLED"]);

/** The nodes of one run, by their ids: a node's id is unique only within its run. */
export class NodeTable {
  readonly element: HTMLElement;
  readonly #body = make("tbody");
  readonly #nodes = new Map<string, NodeRowFragment>();
  readonly #rows = new Map<string, (node: NodeRowFragment) => void>();

  constructor() {
    const heads = ["Node", "Tool", "Status", "Attempt", "Seconds", "Why"].map((text) => make("th", { scope: "col" }, text));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.#body);
    this.element = make("div", { className: "scroll" }, table);
  }

  /** Show nodes as they are now; the others stay as they are. */
  show(changed: readonly FragmentType<typeof NodeRow>[]): void {
    for (const data of changed) {
      const node = readFragment(NodeRow, data);
      this.#nodes.set(node.id, node);
      if (!this.#rows.has(node.id)) this.#rows.set(node.id, this.#add(node.id));
    }
    // A node that waits is not told anew when one it waits for has ended.
    for (const [id, node] of this.#nodes) this.#rows.get(id)?.(node);
  }

  #add(id: string): (node: NodeRowFragment) => void {
    const status = makeStatus();
    const [tool, attempt, seconds, why] = [make("td"), make("td"), make("td"), make("td")];
    attempt.className = seconds.className = "number";
    const row = make("tr", {}, make("th", { scope: "row" }, id), tool, make("td", {}, status.element), attempt, seconds, why);
    const text = make("pre");
    const below = make("tr", { hidden: true }, make("td", { colSpan: 6 }, text));
    row.dataset["node"] = below.dataset["text"] = id;
    this.#body.append(row, below);
    return (node) => {
      tool.textContent = node.tool;
      status.show(node.status);
      attempt.textContent = node.attempt ? `${node.attempt} of ${node.maximumAttempts}` : "";
      seconds.textContent = node.durationSeconds?.toFixed(1) ?? "";
      why.textContent = this.#why(node);
      // What counts of the text: that of a failed attempt is not in it any more.
      below.hidden = node.outputSoFar === null || ENDED.has(node.status);
      text.textContent = node.outputSoFar;
    };
  }

  /** Tell what a node is at, why it does not run, or why it failed. */
  #why({ waitingOn, error, skipReason, progress, steps }: NodeRowFragment): string {
    switch (waitingOn?.__typename) {
      case "WaitingOnNodes":
        return `waits for ${waitingOn.nodeIds.filter((id) => !this.#hasEnded(id)).join(", ")}`;
      case "WaitingOnRetry":
        return `tried again at ${new Date(waitingOn.until).toLocaleTimeString()}`;
      case "WaitingOnSlot":
        return `waits for a slot (${waitingOn.limit})`;
      default:
        if (error) return `${error.type}: ${error.message}`;
        return skipReason ?? [progressText(progress), ...steps.map(stepText)].filter(Boolean).join("; ");
    }
  }

  #hasEnded(id: string): boolean {
    const node = this.#nodes.get(id);
    return node !== undefined && ENDED.has(node.status);
  }
}

function progressText(progress: NodeRowFragment["progress"]): string {
  if (!progress) return "";
  const percent = typeof progress.fraction === "number" ? `${Math.round(progress.fraction * 100)} %` : "";
  return [percent, progress.message].filter(Boolean).join(" ");
}

function stepText({ kind, name }: NodeRowFragment["steps"][number]): string {
  return kind === "MODEL" ? `asks ${name}` : `calls ${name}`;
}
