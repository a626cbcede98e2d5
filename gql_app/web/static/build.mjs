// Rebuilds vendor/ from the packages that package-lock.json pins: `npm ci && npm run assets`.
// With `--check` it writes nothing and fails if a file differs from what it would write.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const vendor = join(here, "vendor");
const packages = join(here, "../../../node_modules");

// One file of the page each: what it is called here, and where it comes from.
const FILES = {
  "react.production.min.js": "react/umd/react.production.min.js",
  "react-dom.production.min.js": "react-dom/umd/react-dom.production.min.js",
  "graphiql.min.js": "graphiql/graphiql.min.js",
  "graphiql.min.css": "graphiql/graphiql.min.css",
};

// Packages inside GraphiQL's bundle that ship no licence text of their own, or that newer
// versions no longer install: the package of the same authors whose licence is theirs too.
const LICENSED_LIKE = {
  "@radix-ui/react-use-escape-keydown": "@radix-ui/react-use-callback-ref",
  "@react-aria/utils": "@react-aria/focus",
  "react-compiler-runtime": "react",
  "react-remove-scroll-bar": "react-remove-scroll",
  scheduler: "react",
};

const MIT_WITHOUT_TEXT = new Set(["toggle-selection"]);

const read = (path) => readFileSync(join(packages, path), "utf8");
const manifest = (name) => JSON.parse(read(`${name}/package.json`));

/** Take out what would make the browser ask for a file that is not there, and fonts (the system's own are used). */
function cleaned(name, text) {
  if (name.endsWith(".css")) return text.replace(/@font-face\s*\{[^}]*\}\s*/g, "");
  return text.replace(/\n\/\/# sourceMappingURL=\S+\s*$/, "\n");
}

/** The names of the packages inside GraphiQL's bundle, from its source map. */
function bundled() {
  const { sources } = JSON.parse(read("graphiql/graphiql.min.js.map"));
  const names = new Set(["graphiql", "react", "react-dom", "scheduler"]);
  for (const source of sources) {
    const [, inside] = source.match(/^.*node_modules\/(.*)$/) ?? [];
    if (inside) names.add(inside.split("/").slice(0, inside.startsWith("@") ? 2 : 1).join("/"));
  }
  return [...names].sort();
}

function licenseText(name) {
  const owner = LICENSED_LIKE[name] ?? name;
  const files = existsSync(join(packages, owner))
    ? readdirSync(join(packages, owner)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    : [];
  if (files.length > 0) {
    const text = files.sort().map((file) => read(`${owner}/${file}`)).join("\n");
    return text.replace(/\r\n/g, "\n").trim();
  }
  if (MIT_WITHOUT_TEXT.has(name) && manifest(name).license === "MIT") {
    return `MIT License; the package carries no text of its own.\nAuthor: ${manifest(name).author}`;
  }
  throw new Error(`No licence text for ${name}: find out what its licence is and add it to LICENSED_LIKE.`);
}

/** Every licence once, under the names of the packages it covers. */
function licenses() {
  const covered = new Map();
  for (const name of bundled()) {
    const text = licenseText(name);
    covered.set(text, [...(covered.get(text) ?? []), name]);
  }
  const rule = "=".repeat(80);
  const head = [
    "The files beside this one are GraphiQL and React, with these packages inside them.",
    `graphiql ${manifest("graphiql").version}, react ${manifest("react").version}, react-dom ${manifest("react-dom").version}`,
  ].join("\n");
  const parts = [...covered].map(([text, names]) => `${rule}\n${names.join("\n")}\n${"-".repeat(80)}\n${text}\n`);
  return `${head}\n\n${parts.join("\n")}`;
}

const wanted = new Map([["LICENSES.txt", licenses()]]);
for (const [name, source] of Object.entries(FILES)) wanted.set(name, cleaned(name, read(source)));

const present = existsSync(vendor) ? readdirSync(vendor) : [];
const stale = present.filter((name) => !wanted.has(name));
const changed = [...wanted].filter(
  ([name, text]) => !present.includes(name) || readFileSync(join(vendor, name), "utf8") !== text,
);

if (process.argv.includes("--check")) {
  const different = [...stale, ...changed.map(([name]) => name)];
  if (different.length > 0) {
    console.error(`Not what package-lock.json pins: ${different.join(", ")}. Run \`make assets\`.`);
    process.exit(1);
  }
} else {
  mkdirSync(vendor, { recursive: true });
  for (const name of stale) rmSync(join(vendor, name));
  for (const [name, text] of changed) writeFileSync(join(vendor, name), text);
}
for (const [name, text] of wanted) console.log(`${String(Buffer.byteLength(text)).padStart(9)}  vendor/${name}`);
