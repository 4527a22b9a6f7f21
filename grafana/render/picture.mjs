// node picture.mjs PROMETHEUS FOLDER [--seconds N] [--scrape N] DASHBOARD…
// Draws dashboards (page.tsx) in headless Chromium, to FOLDER/NAME.png; says which panels had no
// data. Status 1 if a panel could not be drawn.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const WIDTH = 1400;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "300" }, scrape: { type: "string", default: "15" } },
});
const [prom, folder, ...files] = positionals;
if (!files.length) {
  console.error("usage: node picture.mjs PROMETHEUS FOLDER [--seconds N] [--scrape N] DASHBOARD…");
  process.exit(2);
}

const bundle = await build({
  entryPoints: [path.join(import.meta.dirname, "page.tsx")],
  bundle: true, write: false, minify: true, outdir: "/", logLevel: "error",
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
  loader: { ".svg": "dataurl", ".png": "dataurl", ".woff2": "dataurl", ".woff": "dataurl", ".ttf": "dataurl" },
});
const script = bundle.outputFiles.find((f) => f.path.endsWith(".js")).text;
const style = bundle.outputFiles.find((f) => f.path.endsWith(".css")).text; // the layout of uPlot
let current = "";
const html = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/page.css"><body style="margin:0"><div id="root"></div><script src="/page.js"></script>';
const server = http.createServer((request, response) => {
  const served = { "/": ["text/html", html], "/page.js": ["text/javascript", script],
    "/page.css": ["text/css", style], "/dashboard.json": ["application/json", current] }[request.url.split("?")[0]];
  response.writeHead(served ? 200 : 404, { "content-type": served?.[0] ?? "text/plain" });
  response.end(served?.[1]);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let failed = false;
try {
  for (const file of files) {
    const name = path.basename(file, ".json");
    current = fs.readFileSync(file, "utf8");
    const tab = await browser.newPage({ viewport: { width: WIDTH, height: 900 } });
    const faults = [];
    tab.on("pageerror", (error) => faults.push(String(error).slice(0, 300)));
    const query = new URLSearchParams({ prom, seconds: values.seconds, scrape: values.scrape, width: WIDTH });
    await tab.goto(`http://127.0.0.1:${server.address().port}/?${query}`);
    await tab.waitForFunction("window.done", null, { timeout: 60000 });
    faults.push(...(await tab.locator("[data-error]").allTextContents()));
    await tab.locator("#page").screenshot({ path: path.join(folder, `${name}.png`) });
    const empty = (await tab.evaluate("window.report")).filter((p) => !p.series).map((p) => p.title);
    console.log(`picture: ${name}.png${empty.length ? `; no data: ${empty.join(", ")}` : ""}`);
    for (const fault of new Set(faults)) {
      console.error(`picture: ${name}: ${fault.slice(0, 400)}`);
      failed = true;
    }
    await tab.close();
  }
} finally {
  await browser.close();
  server.close();
}
process.exit(failed ? 1 : 0);
