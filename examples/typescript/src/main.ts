// Joins the list and the run that is watched: its id stands behind the # of the address.

import { connect } from "./client";
import { find, make } from "./dom";
import { RunList } from "./runList";
import { RunView } from "./runView";

const form = find("connection", HTMLFormElement);
const url = find("service", HTMLInputElement);
const token = find("token", HTMLInputElement);

/** Begin anew with a service; give back what ends it. */
function begin(): () => void {
  const service = connect(url.value, token.value);
  const list = new RunList(service.client, find("list", HTMLElement));
  const place = find("run", HTMLElement);
  let view: RunView | null = null;

  const open = (): void => {
    view?.stop();
    const id = decodeURIComponent(location.hash.slice(1));
    list.mark(id);
    if (id === "") {
      place.replaceChildren(make("p", { className: "quiet" }, "Choose a run, or submit the sample."));
      return;
    }
    view = new RunView(service, id, place, (run) => list.show(id, run));
    void view.start();
  };

  window.addEventListener("hashchange", open);
  void list.load();
  open();
  return () => {
    window.removeEventListener("hashchange", open);
    view?.stop();
    service.dispose();
  };
}

url.value = new URLSearchParams(location.search).get("service") ?? "http://127.0.0.1:8000";
let end = begin();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  end();
  end = begin();
});
