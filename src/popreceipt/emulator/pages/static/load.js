// The charts of the queue's load, drawn from the table of samples on the same page.
(() => {
  const load = document.getElementById("load");
  const charts = [];

  const line = { type: "line", borderWidth: 2, pointRadius: 0, pointStyle: "line" };
  const dots = { type: "line", showLine: false, pointRadius: 3 };
  const looks = {
    waiting: line,
    in_process: { ...line, borderDash: [6, 4] },
    processed: { type: "bar", borderWidth: 0, pointStyle: "rect" },
    oldest: line,
    mean: dots,
    slowest: { ...dots, pointStyle: "triangle", pointRadius: 4 },
  };

  const columns = () => {
    const table = load.querySelector("[data-samples]");
    const names = [...table.querySelectorAll("th[data-series]")];
    const rows = [...table.tBodies[0].rows].reverse();
    return names.map((head, place) => ({
      key: head.dataset.series,
      label: head.textContent,
      values: rows.map((row) => row.cells[place].textContent.trim()),
    }));
  };

  const draw = () => {
    charts.splice(0).forEach((chart) => chart.destroy());
    const canvases = load.querySelectorAll("canvas[data-chart]");
    if (!canvases.length) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [at, ...series] = columns();
    canvases.forEach((canvas) => {
      const wanted = canvas.dataset.chart.split(" ");
      const datasets = wanted.map((key, place) => {
        const found = series.find((one) => one.key === key);
        const line = colour(`--series-${place + 1}`);
        return {
          label: found.label.replace(" (min)", ""),
          // Where nothing waits, nothing has waited; where nothing was processed, there is no time to tell.
          data: found.values.map((value) => (value !== "" ? Number(value) : key === "oldest" ? 0 : null)),
          borderColor: line,
          backgroundColor: key === "processed" ? `${line}66` : line,
          ...looks[key],
        };
      });
      const grid = { color: colour("--series-grid") };
      const ticks = { color: colour("--series-text"), maxRotation: 0, autoSkipPadding: 24 };
      const days = new Set(at.values.map((instant) => instant.slice(0, 10)));
      const label = (_, place) => at.values[place].slice(days.size > 1 ? 5 : 11, 16);
      charts.push(
        new Chart(canvas, {
          data: { labels: at.values, datasets },
          options: {
            animation: false,
            maintainAspectRatio: false,
            interaction: { mode: "index", intersect: false },
            scales: { x: { grid: { display: false }, ticks: { ...ticks, callback: label } }, y: { beginAtZero: true, grid, ticks: { ...ticks, precision: 0 } } },
            plugins: { legend: { labels: { color: colour("--series-text"), usePointStyle: true, boxHeight: 8 } } },
          },
        }),
      );
    });
  };

  draw();
  load.addEventListener("updated", draw);
  document.addEventListener("themed", draw);
})();
