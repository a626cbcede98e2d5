"""What a language model is told of the tools: written to be read once and acted upon."""

from typing import Final

INSTRUCTIONS: Final = """\
Runs workflows on a gql_app service: documents of nodes that each call a tool, with retries, timeouts and dependencies.
Usual course: list_tools (what nodes can call) → validate_workflow (optional) → submit_workflow (gives an id) →
watch_workflow with that id until `ended` is true → get_node for details. Runs go on by themselves; nothing here needs
to stay open. A failed call says what is wrong and what to do; correct it and call again."""

DOCUMENT: Final = """\
A document is a JSON object (or YAML text):
{"name": "brief", "input": {"topic": "graphql"},
 "nodes": [
  {"id": "page", "tool": "http.request", "input": {"url": "${ 'https://example.com/?q=' + input.topic }"},
   "retry": {"maximumAttempts": 4}, "timeout": {"attemptSeconds": 10}},
  {"id": "text", "tool": "text.template", "when": "${ nodes.page.output.status == 200 }",
   "input": {"template": "About {topic}: {body}",
             "values": {"topic": "${ input.topic }", "body": "${ nodes.page.output.body }"}}}],
 "output": "${ nodes.text.output }", "timeoutSeconds": 60}

Required: `name`, and `nodes` with `id` (letters, digits, _) and `tool` (a name from list_tools; `input` must fit its
schema).
Expressions: `${ … }` inside strings of a node's `input`, in `when` and in `output` is CEL. In scope: `input`, `run.id`
and `nodes.ID.output`, `.status`, `.error`. A string that is one expression keeps the result's type; inside other text
the result is put in as text. `$${` is a literal `${`. CEL does not mix integers and decimals: write `double(x) * 1.5`.
Ask first for a field that may be missing: `has(input.x) ? input.x : 'none'`.
Order: naming `nodes.x` in an expression makes the node wait for x; `dependsOn: ["x"]` orders without data. All else
runs side by side.
Also per node: `when` (false: skipped), `continueOnFailure`, `retry` {maximumAttempts (3), initialIntervalSeconds,
backoffCoefficient, maximumIntervalSeconds, nonRetryableErrors}, `timeout` {attemptSeconds (60), totalSeconds,
queueSeconds, heartbeatSeconds}, `limits` (names of shared limits). Also per document: `input`, `inputSchema`, `output`
(an expression or a map of them; without it the outputs of the last nodes, by id), `timeoutSeconds` (3600),
`maximumConcurrency`, `budget` {tokens, costUsd} (for language models), `labels`.
The tool `agent`, where list_tools has it, lets a language model work on a prompt with the tools it is given."""

VALIDATE: Final = """\
Check a workflow document without running it. Tells the order in which its nodes can run, or every problem with its
place in the document (a JSON Pointer) and often a hint: correct them all and check again. submit_workflow tells how to
write a document."""

SUBMIT: Final = f"""\
Start a run of a workflow document. Answers at once with the run's id; then call watch_workflow. A document that cannot
work is refused with all its problems and nothing is started, so there is no need to validate first.

{DOCUMENT}"""

WATCH: Final = """\
Wait for a run: until it has ended, or for `seconds` at most, and tell what happened meanwhile, which nodes changed, and
the output if it has completed. If `ended` is false the run goes on: call again with `after` = the `sequence` of this
answer. Giving up on the call does not stop the run; cancel_workflow does."""

GET_WORKFLOW: Final = """\
Show a run as it is now: its status, its output, and each node with its status, why it waits (`waitingOn`), failed
(`error`, `retryState`) or was skipped, and the beginning of what it put out. Big values are cut, and `cut` says where:
call again with `pointer` for a part of the run's output, with `offset` to read on in a long text or list."""

GET_NODE: Final = """\
Show one node of a run in full: what its tool was called with, each attempt with its error, and its output. Big values
are cut: call again with `pointer` for a part of the output, with `offset` to read on in a long text or list."""

LIST_WORKFLOWS: Final = """\
List runs, newest first, by status, name or labels. Use it to find a run whose id you do not have."""

CANCEL: Final = """\
Stop a run for good. What runs is asked to stop and given a moment, nothing new starts; watch_workflow tells when it has
ended."""

RETRY: Final = """\
Run the document of a run that has ended again, as a new run with an id of its own. By default the nodes that had
completed are not run again and their outputs are kept. To change the document, submit it instead."""

LIST_TOOLS: Final = """\
Tell which tools the nodes of a workflow can call (they are not tools that you can call yourself). Without `name`: all
names, with what they take. With `name`: those that fit, with the JSON Schemas of their input and output. Look a tool up
before you use it."""
