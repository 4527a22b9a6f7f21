// Strict JSON Schemas of a dashboard and of each core panel, made from the TypeScript types that
// Grafana publishes (@grafana/schema). Prints one JSON object.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const { createGenerator } = createRequire(import.meta.url)("ts-json-schema-generator");
const here = import.meta.dirname;
const raw = path.join(here, "node_modules/@grafana/schema/dist/types/raw");
const work = fs.mkdtempSync(path.join(here, "node_modules/.schemas-"));
const partial =
  "type Part<T> = T extends (infer U)[] ? Part<U>[] : T extends object ? {[K in keyof T]?: Part<T[K]>} : T;\n";

function schema(name, source, type) {
  const file = path.join(work, `${name}.ts`);
  fs.writeFileSync(file, source);
  const options = { path: file, tsconfig, type, skipTypeCheck: true, additionalProperties: false };
  return createGenerator(options).createSchema(type);
}

const tsconfig = path.join(work, "tsconfig.json");
fs.writeFileSync(
  tsconfig,
  JSON.stringify({
    compilerOptions: {
      target: "ES2022", module: "ESNext", moduleResolution: "bundler", strict: true,
      skipLibCheck: true, noEmit: true, types: [],
    },
    include: ["*.ts"],
  }),
);
try {
  const types = fs.readFileSync(path.join(raw, "dashboard/x/types.gen.d.ts"), "utf8");
  const dashboard = schema(
    "dashboard", types.replaceAll("export declare const", "export const"), "Dashboard",
  );
  const panels = {};
  for (const panel of ["timeseries", "stat", "bargauge", "heatmap", "table"]) {
    const file = path.join(raw, "composable", panel, "panelcfg/x/types.gen");
    const declared = fs.readFileSync(`${file}.d.ts`, "utf8");
    panels[panel] = {};
    for (const [key, type] of [["options", "Options"], ["custom", "FieldConfig"]]) {
      if (!declared.includes(`export interface ${type}`)) continue;
      const source = `import type * as P from "${file}";\n${partial}export type It = Part<P.${type}>;\n`;
      panels[panel][key] = schema(`${panel}_${key}`, source, "It");
    }
  }
  console.log(JSON.stringify({ dashboard, panels }));
} finally {
  fs.rmSync(work, { recursive: true });
}
