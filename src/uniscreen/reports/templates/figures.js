"use strict";

for (const data of document.querySelectorAll("script.plot-data")) {
  const { data: traces, layout } = JSON.parse(data.textContent);
  Plotly.newPlot(data.dataset.for, traces, layout, {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d", "toggleSpikelines"],
  });
}
