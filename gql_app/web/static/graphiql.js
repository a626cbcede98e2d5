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

  // A namespace of our own: any other GraphiQL that was ever served at this address keeps its tabs under the usual
  // one. A browser that blocks site data throws when the storage is touched; tabs then last as long as the page.
  function openStorage() {
    try {
      window.localStorage.getItem("");
      return GraphiQL.createLocalStorage({ namespace: "gql_app" });
    } catch {
      const kept = new Map();
      return {
        getItem: (name) => kept.get(name) ?? null,
        setItem: (name, value) => void kept.set(name, value),
        removeItem: (name) => void kept.delete(name),
        clear: () => kept.clear(),
        get length() {
          return kept.size;
        },
      };
    }
  }

  const storage = openStorage();
  // Of the first of the default tabs GraphiQL takes only the query; the variables it reads from here.
  if (storage.getItem("graphiql:tabState") === null && page.tabs.length > 0) {
    storage.setItem("graphiql:variables", page.tabs[0].variables);
  }

  const endpoint = new URL(page.endpoint, location.href);
  const websocket = new URL(endpoint);
  websocket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

  // Each subscription opens a websocket of its own when it starts and closes it when it ends. A lost
  // connection is opened again and the operation sent again as it was written.
  const send = GraphiQL.createFetcher({
    url: endpoint.href,
    subscriptionUrl: websocket.href,
    headers: { accept: "application/graphql-response+json, application/json" },
    enableIncrementalDelivery: false,
  });

  // GraphiQL learns 100 ms late what a tab holds. Run before that, it would send this tab's text with the name of the
  // operation of the tab before.
  function fetcher(params, options) {
    const current = onlyOperation(params.query);
    if (current === null) return send(params, options);
    return send({ ...params, operationName: current.name }, { ...options, documentAST: current.document });
  }

  function onlyOperation(query) {
    try {
      const document = GraphiQL.GraphQL.parse(query);
      const operations = document.definitions.filter(({ kind }) => kind === "OperationDefinition");
      return operations.length === 1 ? { document, name: operations[0].name?.value } : null;
    } catch {
      return null; // Its syntax is wrong; the server says where.
    }
  }

  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, {
      fetcher,
      storage,
      defaultTabs: page.tabs,
      defaultQuery: "",
      defaultEditorToolsVisibility: true,
    }),
  );
})();
