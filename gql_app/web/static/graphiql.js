// Starts GraphiQL with what the server wrote into the page (see gql_app/web/graphiql.py).
"use strict";

(() => {
  const root = document.getElementById("graphiql");
  const page = JSON.parse(document.getElementById("graphiql-config").textContent);

  // Code inside GraphiQL that adds a style element asks this global for the nonce the page's policy wants.
  window.__webpack_nonce__ = document.currentScript.nonce;

  const missing = ["React", "ReactDOM", "GraphiQL"].filter((name) => !(name in window));
  if (missing.length > 0) {
    root.textContent = `GraphiQL cannot start: ${missing.join(", ")} did not load. Is the installation complete?`;
    return;
  }

  // Another GraphiQL that was ever served at this address keeps its tabs under the plain names.
  function ownStorage(prefix) {
    const names = () => Object.keys(localStorage).filter((name) => name.startsWith(prefix));
    return {
      getItem: (name) => localStorage.getItem(prefix + name),
      setItem: (name, value) => localStorage.setItem(prefix + name, value),
      removeItem: (name) => localStorage.removeItem(prefix + name),
      clear: () => names().forEach((name) => localStorage.removeItem(name)),
      get length() {
        return names().length;
      },
    };
  }

  // A browser that blocks site data throws as soon as the storage is looked at; tabs then last as long as the page.
  function storageIfAllowed(prefix) {
    try {
      return window.localStorage && ownStorage(prefix);
    } catch {
      return null;
    }
  }

  const endpoint = new URL(page.endpoint, location.href);
  const websocket = new URL(endpoint);
  websocket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

  // Each subscription opens a websocket of its own when it starts and closes it when it ends. A lost
  // connection is opened again and the operation sent again as it was written.
  const fetcher = GraphiQL.createFetcher({
    url: endpoint.href,
    subscriptionUrl: websocket.href,
    headers: { accept: "application/graphql-response+json, application/json" },
    enableIncrementalDelivery: false,
  });

  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, {
      fetcher,
      storage: storageIfAllowed("gql_app:"),
      defaultTabs: page.tabs,
      defaultQuery: "",
      defaultEditorToolsVisibility: true,
    }),
  );
})();
