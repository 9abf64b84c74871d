// Points open the matchups behind them, and figures are saved as PNG, SVG and CSV; all on this machine.
const PAPER = "#ffffff", INK = "#1c2430", LINE = "#dfe3ea";

// Bound at the first press, before plotly tells of the click: figures come and go.
document.addEventListener("pointerdown", (event) => {
  const figure = event.target.closest?.(".cai-elo-plot .js-plotly-plot");
  if (!figure?.on || figure.caiBound || !element.isConnected) return;
  figure.caiBound = true;
  figure.on("plotly_click", ({ points }) => {
    const what = points[0]?.customdata;
    if (typeof what === "string") trigger("act", { open: what });
  });
}, true);

const save = (name, blob) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

// The page's colours are in its style sheet, which a file has not: it gets its own, for paper.
const onPaper = (figure, title) => {
  const layout = JSON.parse(JSON.stringify(figure.layout));
  for (const key of Object.keys(layout))
    if (/^[xy]axis/.test(key)) Object.assign(layout[key], { gridcolor: LINE });
  layout.paper_bgcolor = layout.plot_bgcolor = PAPER;
  // An image knows no fonts of the page: texts would be set wider than they were measured.
  layout.font = { ...layout.font, color: INK, family: "sans-serif" };
  for (const note of layout.annotations ?? []) note.font = { ...note.font, family: "sans-serif" };
  layout.margin = { ...layout.margin, t: (layout.margin?.t ?? 40) + 34 };
  layout.title = { text: title, x: 0.01, y: 0.985, yanchor: "top", font: { size: 15 } };
  if (layout.legend?.yref === "container") layout.legend = { ...layout.legend, y: 0.94 };
  return { data: figure.data, layout };
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-image], [data-csv]");
  if (!button || !element.isConnected) return;
  const name = `elo-${button.dataset.of}`;
  if (button.dataset.csv !== undefined) {
    save(`${name}.csv`, new Blob([button.dataset.csv], { type: "text/csv;charset=utf-8" }));
    return;
  }
  const figure = document.querySelector(`#${button.dataset.of} .js-plotly-plot`);
  if (!figure || !window.Plotly) return;
  const size = { width: Math.max(figure.clientWidth, 700), height: figure.clientHeight + 34 };
  const format = button.dataset.image;
  const url = await window.Plotly.toImage(onPaper(figure, button.dataset.title), { format, ...size, scale: format === "png" ? 2 : 1 });
  const text = format === "svg" ? decodeURIComponent(url.slice(url.indexOf(",") + 1)) : null;
  if (text !== null) return save(`${name}.svg`, new Blob([text], { type: "image/svg+xml" }));
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (c) => c.charCodeAt(0));
  save(`${name}.png`, new Blob([bytes], { type: "image/png" }));
});
