// How the published schema and operations are linted: all recommended rules. What is excepted has its reason beside it.
import graphql from "@graphql-eslint/eslint-plugin";

// Only what can be read again by its id has one: runs, and the nodes within a run or plan. All else is a value that is
// read with what it belongs to, and an id made up for it would promise a cache that there is something to look up.
const VALUES = [
  // Facts of a run's log: the run and `sequence` say which.
  "AttemptCancelled",
  "AttemptFailed",
  "AttemptLost",
  "AttemptStarted",
  "AttemptTimedOut",
  "NodeCancelled",
  "NodeCompleted",
  "NodeFailed",
  "NodeLog",
  "NodeOutputChunk",
  "NodeProgress",
  "NodeQueued",
  "NodeReused",
  "NodeSkipped",
  "StepCompleted",
  "StepFailed",
  "StepQueued",
  "StepStarted",
  "WorkflowCancelled",
  "WorkflowCompleted",
  "WorkflowFailed",
  "WorkflowStarted",
  "WorkflowStopping",
  "WorkflowSubmitted",
  "WorkflowTimedOut",
  "WorkflowUpdate",
  // Parts of a run or of a node.
  "Attempt", // the node and `number` say which
  "AttemptProgress",
  "AvailableAction",
  "Budget",
  "Failure",
  "Progress",
  "Usage",
  "WaitingOnNodes",
  "WaitingOnRetry",
  "WaitingOnSlot",
  // What is asked about a document or the service, and stored nowhere.
  "Health",
  "HealthCheck",
  "Problem",
  "RateLimit",
  "RetryPolicy",
  "TimeoutPolicy",
  "Tool", // `name` says which
  "WorkflowPlan",
  // Members of result unions that tell what went wrong.
  "IdempotencyConflict",
  "InvalidArgument",
  "InvalidWorkflow",
  "Overloaded",
  "WorkflowAlreadyFinished",
  "WorkflowNotFinished",
  "WorkflowNotFound",
  // Relay's own.
  "PageInfo",
];

const SCHEMA_RULES = {
  ...graphql.configs["flat/schema-recommended"].rules,
  ...graphql.configs["flat/schema-relay"].rules,
  "@graphql-eslint/strict-id-in-types": [
    "error",
    // The successes of result unions and Relay's types carry what has an id.
    { exceptions: { types: VALUES, suffixes: ["Success", "Connection", "Edge"] } },
  ],
  "@graphql-eslint/relay-edge-types": [
    "error",
    {
      // A list without pages (the nodes of a run, the problems of a document) is bounded, and read whole.
      listTypeCanWrapOnlyEdgeType: false,
      // There is no `node(id:)` that takes an id of any type: a run is read again by `workflow(id:)`.
      shouldImplementNode: false,
    },
  ],
};

const linted = (files, rules) => ({
  files,
  languageOptions: {
    parser: graphql.parser,
    parserOptions: { graphQLConfig: { schema: "schema/schema.graphql", documents: "schema/operations/*.graphql" } },
  },
  plugins: { "@graphql-eslint": graphql },
  rules,
});

export default [
  linted(["schema/schema.graphql"], SCHEMA_RULES),
  linted(["schema/operations/*.graphql"], graphql.configs["flat/operations-recommended"].rules),
  {
    files: ["GetWorkflow", "GetNode", "GetOutputs"].map((name) => `schema/operations/${name}.graphql`),
    rules: {
      // "Get" is a forbidden beginning; but one of the names is published, and documents that are trusted go by their
      // text. The others are named alike.
      "@graphql-eslint/naming-convention": "off",
    },
  },
];
