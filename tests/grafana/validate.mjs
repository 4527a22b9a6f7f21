// node validate.mjs SCHEMAS DASHBOARD…: prints what is wrong, a line for each; status 1 if anything is.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const Ajv = createRequire(import.meta.url)("ajv").default;
const ajv = new Ajv({ allErrors: true, strict: false });
const [schemas, ...files] = process.argv.slice(2);
const { dashboard, panels } = JSON.parse(fs.readFileSync(schemas, "utf8"));
const whole = ajv.compile(dashboard);
const parts = Object.fromEntries(
  Object.entries(panels).map(([panel, of]) => [
    panel,
    Object.fromEntries(Object.entries(of).map(([key, schema]) => [key, ajv.compile(schema)])),
  ]),
);
const found = new Set();

// The published type stops at what all data sources share; these are Prometheus's own.
const OF_PROMETHEUS = ["expr", "step", "titleFormat", "useValueForTime"];

function check(validate, value, where) {
  if (!validate || value === undefined || validate(value)) return;
  for (const error of validate.errors)
    found.add(`${where} ${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
}

for (const file of files) {
  const page = JSON.parse(fs.readFileSync(file, "utf8"));
  const name = path.basename(file);
  for (const annotation of page.annotations?.list ?? [])
    for (const key of OF_PROMETHEUS) delete annotation[key];
  check(whole, page, `${name}: dashboard`);
  for (const panel of page.panels ?? []) {
    const where = `${name}: panel ${panel.id} (${panel.type})`;
    if (!parts[panel.type]) found.add(`${where}: no such type among those that are used here`);
    check(parts[panel.type]?.options, panel.options, `${where} options`);
    check(parts[panel.type]?.custom, panel.fieldConfig?.defaults?.custom, `${where} custom`);
  }
}
for (const line of found) console.log(line);
process.exit(found.size ? 1 : 0);
