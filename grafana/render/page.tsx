// Draws one dashboard from what a Prometheus answers, with Grafana's own panels and field
// processing. Not Grafana itself: transformations of tables are ours, and heatmap and table, which Grafana
// does not publish or only in parts, are drawn here. Parameters of the page: prom, seconds, scrape, width.
import React from "react";
import { createRoot } from "react-dom/client";
import * as data from "@grafana/data";
import * as ui from "@grafana/ui";

const D = data as any;
const U = ui as any;
const theme = D.createTheme({ colors: { mode: "dark" } });
const same = (value: any) => value;
const UNIT_HEIGHT = 38; // of Grafana's grid, with the gap
const GAP = 8;

const PROCESSORS: Record<string, any> = {
  unit: D.unitOverrideProcessor, min: D.numberOverrideProcessor, max: D.numberOverrideProcessor,
  decimals: D.numberOverrideProcessor, displayName: D.displayNameOverrideProcessor,
  noValue: same, color: same, thresholds: D.thresholdsOverrideProcessor,
  mappings: D.valueMappingsOverrideProcessor, links: same, filterable: same,
};
D.standardFieldConfigEditorRegistry.setInit(() =>
  Object.entries(PROCESSORS).map(([id, process]) => ({
    id, path: id, name: id, editor: () => null, override: () => null, process: process ?? same,
    shouldApply: () => true,
  })),
);
D.setTimeZoneResolver?.(() => "utc");

type Times = { from: number; to: number; scrape: number; step: number };

function filled(expression: string, times: Times): string {
  const values: Record<string, string> = {
    __rate_interval: `${Math.max(times.step + times.scrape, 4 * times.scrape)}s`,
    __interval: `${times.step}s`, __range: `${times.to - times.from}s`, instance: ".+",
  };
  return expression.replace(/\$\{?(\w+)\}?/g, (_, name) => {
    if (!(name in values)) throw new Error(`unknown variable ${name}`);
    return values[name];
  });
}

function legend(format: string, labels: Record<string, string>): string {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "");
}

async function ask(prom: string, target: any, times: Times): Promise<any[]> {
  const query = new URLSearchParams({ query: filled(target.expr, times) });
  const { from, to, step } = times;
  for (const [key, value] of Object.entries(target.instant ? { time: to } : { start: from, end: to, step }))
    query.set(key, String(value));
  const path = target.instant ? "query" : "query_range";
  const answer = await (await fetch(`${prom}/api/v1/${path}?${query}`)).json();
  if (answer.status !== "success") throw new Error(answer.error);
  return answer.data.result;
}

function frame(target: any, series: any, times: Times): any {
  const name = legend(target.legendFormat, series.metric) || "value";
  const points = new Map((series.values ?? [series.value]).map(([t, v]: any) => [t, v]));
  const at = target.instant ? [...points.keys()] : steps(times);
  const value = (t: any) => (Number.isFinite(Number(points.get(t))) ? Number(points.get(t)) : null);
  return D.toDataFrame({
    refId: target.refId, name,
    fields: [
      { name: "Time", type: D.FieldType.time, values: at.map((t: any) => t * 1000), config: { interval: times.step * 1000 } },
      { name: "Value", type: D.FieldType.number, labels: series.metric, values: at.map(value), config: { displayNameFromDS: name } },
    ],
  });
}

function steps({ from, to, step }: Times): number[] {
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, n) => from + n * step);
}

function tableFrame(panel: any, results: any[]): any {
  const [keep, arrange] = panel.transformations.map((t: any) => t.options);
  const names = [...keep.include.names].sort((a, b) => arrange.indexByName[a] - arrange.indexByName[b]);
  return D.toDataFrame({
    fields: names.map((name: string) => ({
      name: arrange.renameByName[name],
      type: name === "Value" ? D.FieldType.number : D.FieldType.string,
      values: results.map((s) => (name === "Value" ? Number(s.value[1]) : s.metric[name] ?? "")),
      config: {},
    })),
  });
}

function Heat({ results, times, width, height }: any) {
  const rows = results
    .map((s: any) => ({ le: s.metric.le, values: new Map(s.values.map(([t, v]: any) => [t, +v])) }))
    .sort((a: any, b: any) => Number(a.le.replace("+Inf", "Infinity")) - Number(b.le.replace("+Inf", "Infinity")));
  // So many columns that one is seen; each shows the fullest of the steps in it.
  const columns = Math.min(90, steps(times).length);
  const all = steps(times);
  const cell = (row: number, t: number) =>
    Math.max(0, (rows[row].values.get(t) ?? 0) - (row ? rows[row - 1].values.get(t) ?? 0 : 0));
  const counts = rows.map((_: any, row: number) => {
    const line = Array(columns).fill(0);
    all.forEach((t, n) => {
      const column = Math.floor((n * columns) / all.length);
      line[column] = Math.max(line[column], cell(row, t));
    });
    return line;
  });
  const most = Math.max(...counts.flat(), 1e-9);
  const left = 56, bottom = 22, w = (width - left) / columns, h = (height - bottom) / rows.length;
  const label = D.getValueFormat("s");
  const clock = (t: number) => new Date(t * 1000).toISOString().slice(11, times.to - times.from > 1800 ? 16 : 19);
  return (
    <svg width={width} height={height} fontSize={12} fill={theme.colors.text.secondary}>
      {rows.map((row: any, n: number) => (
        <text key={n} x={left - 6} y={height - bottom - n * h - 2} textAnchor="end">
          {row.le === "+Inf" ? "more" : D.formattedValueToString(label(Number(row.le)))}
        </text>
      ))}
      {counts.map((line: number[], row: number) =>
        line.map((count, column) => count > 0.001 * most && (
          <rect key={`${row} ${column}`} x={left + column * w} y={height - bottom - (row + 1) * h}
            width={Math.max(1, w - 1)} height={h - 1}
            fill={`hsl(${30 - 12 * (count / most)} 95% ${22 + 45 * Math.sqrt(count / most)}%)`} />
        )),
      )}
      {[0, 0.25, 0.5, 0.75].map((share) => (
        <text key={share} x={left + share * (width - left)} y={height - 6}>
          {clock(times.from + share * (times.to - times.from))}
        </text>
      ))}
    </svg>
  );
}

function Numbers({ panel, frames, width, height }: any) {
  const options = panel.options;
  const values = D.getFieldDisplayValues({
    data: frames, reduceOptions: options.reduceOptions, fieldConfig: panel.fieldConfig,
    replaceVariables: same, theme, timeZone: "utc", sparkline: false,
  });
  if (panel.type === "stat") {
    const listed = options.orientation === "horizontal";
    return (
      <div style={{ display: "flex", gap: 4, flexDirection: listed ? "column" : "row" }}>
        {values.map((v: any, n: number) => (
          <U.BigValue key={n} value={v.display} colorMode={options.colorMode} graphMode="none"
            justifyMode={options.justifyMode} theme={theme} height={listed ? height / values.length - 4 : height}
            textMode={options.textMode === "auto" ? (values.length > 1 ? "value_and_name" : "value") : options.textMode}
            width={listed ? width : width / values.length - 4} />
        ))}
      </div>
    );
  }
  const each = Math.min(options.maxVizHeight, height / Math.max(1, values.length) - 6);
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 6 }}>
      {values.map((v: any, n: number) => (
        <div key={n} style={{ display: "flex", alignItems: "center", gap: 8 }}>
          <div style={{ width: 150, textAlign: "right", overflow: "hidden" }}>{v.display.title}</div>
          <U.BarGauge value={{ ...v.display, title: undefined }} field={v.field} theme={theme} height={each}
            width={width - 160} orientation="horizontal" displayMode={options.displayMode} showUnfilled
            display={v.view?.getFieldDisplayProcessor(v.colIndex)} />
        </div>
      ))}
    </div>
  );
}

function Panel({ panel, frames, results, times, width, height }: any) {
  if (panel.type === "heatmap")
    return <Heat results={results} times={times} width={width} height={height} />;
  if (panel.type === "table") return <Lines of={frames[0]} />;
  if (panel.type !== "timeseries")
    return <Numbers panel={panel} frames={frames} width={width} height={height} />;
  const range = {
    from: D.dateTime(times.from * 1000), to: D.dateTime(times.to * 1000),
    raw: { from: "now-1h", to: "now" },
  };
  return (
    <U.TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc"
      legend={panel.options.legend} options={panel.options} />
  );
}

function Lines({ of }: any) {
  const line = { borderBottom: `1px solid ${theme.colors.border.weak}`, padding: "4px 8px", textAlign: "left" } as const;
  return (
    <table style={{ width: "100%" }}>
      <thead><tr>{of.fields.map((f: any) => <th key={f.name} style={line}>{f.name}</th>)}</tr></thead>
      <tbody>
        {of.fields[0].values.map((_: any, n: number) => (
          <tr key={n}>{of.fields.map((f: any) => <Cell key={f.name} field={f} value={f.values[n]} style={line} />)}</tr>
        ))}
      </tbody>
    </table>
  );
}

function Cell({ field, value, style }: any) {
  const { text, color } = D.getDisplayProcessor({ field, theme })(value);
  return field.config.mappings?.length
    ? <td style={{ ...style, color }}>{text}</td>
    : <td style={style}>{value}</td>;
}

class Guard extends React.Component<any, any> {
  state = { error: null as any };
  static getDerivedStateFromError(error: any) { return { error }; }
  render() {
    return this.state.error ? <pre data-error>{String(this.state.error.stack)}</pre> : this.props.children;
  }
}

async function prepared(panel: any, prom: string, times: Times) {
  const results: any[] = [];
  let frames: any[] = [];
  for (const target of panel.targets) {
    const found = await ask(prom, target, times);
    results.push(...found);
    if (panel.type !== "table") frames.push(...found.map((s) => frame(target, s, times)));
  }
  if (panel.type === "table") frames = [tableFrame(panel, results)];
  frames = D.applyFieldOverrides({
    data: frames, fieldConfig: panel.fieldConfig, replaceVariables: same, theme, timeZone: "utc",
  });
  const custom = panel.fieldConfig.defaults.custom; // kept by the panel's plugin in Grafana
  for (const f of frames) {
    const own = panel.fieldConfig.overrides
      .filter((o: any) => o.matcher.id === "byFrameRefID" && o.matcher.options === f.refId)
      .flatMap((o: any) => o.properties.filter((p: any) => p.id.startsWith("custom.")))
      .map((p: any) => [p.id.slice("custom.".length), p.value]);
    for (const field of f.fields)
      if (field.type === D.FieldType.number) field.config.custom = { ...custom, ...Object.fromEntries(own) };
  }
  return { panel, frames, results };
}

async function main() {
  const given = new URLSearchParams(location.search);
  const prom = given.get("prom")!, width = Number(given.get("width"));
  const scrape = Number(given.get("scrape")), seconds = Number(given.get("seconds"));
  const step = Math.max(scrape, Math.ceil(seconds / 600));
  const to = Math.floor(Date.now() / 1000 / step) * step;
  const times = { from: to - seconds, to, scrape, step };
  const page = await (await fetch("/dashboard.json")).json();
  const report: any[] = [];
  const drawn: any[] = [];
  for (const panel of page.panels) {
    const at = panel.gridPos, unit = (width - GAP) / 24;
    const w = at.w * unit - GAP, h = at.h * UNIT_HEIGHT - GAP;
    let inside = (iw: number, ih: number): any => null;
    try {
      const ready = await prepared(panel, prom, times);
      report.push({ title: panel.title, series: ready.results.length });
      const empty = ready.results.length === 0 && ["timeseries", "heatmap", "table"].includes(panel.type);
      inside = (iw, ih) => empty
        ? <div style={{ height: ih, display: "grid", placeItems: "center" }}>
            {panel.fieldConfig.defaults.noValue ?? "No data"}
          </div>
        : <Guard><Panel {...ready} times={times} width={iw} height={ih} /></Guard>;
    } catch (error) {
      report.push({ title: panel.title, error: String(error) });
      inside = () => <pre data-error>{String(error)}</pre>;
    }
    drawn.push(
      <div key={panel.id} style={{ position: "absolute", left: GAP + at.x * unit, top: 48 + at.y * UNIT_HEIGHT, width: w, height: h }}>
        <U.PanelChrome title={panel.title} description={panel.description} width={w} height={h}>{inside}</U.PanelChrome>
      </div>,
    );
  }
  const bottom = Math.max(...page.panels.map((p: any) => p.gridPos.y + p.gridPos.h));
  const style = {
    position: "relative", width, height: 48 + bottom * UNIT_HEIGHT + GAP, fontSize: 14,
    background: theme.colors.background.canvas, color: theme.colors.text.primary,
    fontFamily: theme.typography.fontFamily,
  } as const;
  createRoot(document.getElementById("root")!).render(
    <D.ThemeContext.Provider value={theme}>
      <U.GlobalStyles />
      <div id="page" style={style}>
        <div style={{ padding: "12px 16px", fontSize: 18 }}>{page.title}</div>
        {drawn}
      </div>
    </D.ThemeContext.Provider>,
  );
  (window as any).report = report;
  setTimeout(() => ((window as any).done = true), 2000);
}

main().catch((error) => {
  document.body.innerHTML = `<pre data-error>${error.stack}</pre>`;
  (window as any).done = true;
});
