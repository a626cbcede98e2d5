// What a page is made of.

type Child = Node | string;

/** Make an element with properties and children. Text stays text: nothing of a run is ever read as HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Give an element that the page has. */
export function find<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`);
  return element;
}

/** Make a badge and what changes it. */
export function makeStatus(): { element: HTMLElement; show: (status: string) => void } {
  const element = make("span", { className: "status" });
  return {
    element,
    show(status) {
      if (element.textContent === status) return;
      element.textContent = status;
      element.dataset["status"] = status;
    },
  };
}
