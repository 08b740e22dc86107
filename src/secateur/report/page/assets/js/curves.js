// The two charts of a table: accuracy against the ratio, and against the cost.
(function () {
  if (!byId("scope")) return;
  const scope = byId("scope"), metric = byId("metric"), legend = byId("legend");
  const hidden = new Set();
  const styleOf = (label) => DATA.methods[label] || { label, color: "#555555", marker: "o", line: "-" };
  // No accuracy is below 0 or above 100 %, whatever an interval of few seeds says.
  const percent = (point) => ({ ...point, mean: 100 * point.mean, low: point.low === null ? null : Math.max(100 * point.low, 0), high: point.high === null ? null : Math.min(100 * point.high, 100) });
  const TITLES = { accuracy: "Accuracy", worst_class_accuracy: "Accuracy of the worst class", robust_accuracy: "Accuracy on attacked images" };

  function curves() {
    return DATA.curves.filter((curve) => curve.table === scope.value && curve.metric === metric.value);
  }

  function swatch(style) {
    const svg = draw("svg", { viewBox: "0 0 28 12", class: "series", "aria-hidden": "true" }, [
      draw("path", { d: "M0,6H28", "stroke-dasharray": dashOf(style.line) }),
      draw("path", { class: "mark", d: markOf(style.marker, 4.4), transform: "translate(14,6)" }),
    ]);
    paint(svg, colorOf(style));
    return svg;
  }

  function colorOf(style) {
    return style.is_full ? "var(--ink)" : style.is_baseline ? "var(--gray)" : style.color;
  }

  function fillLegend(shown) {
    const labels = shown.filter((curve) => !curve.full).map((curve) => curve.method);
    const toggles = labels.map((label) => make("button", { type: "button", "aria-pressed": String(!hidden.has(label)), onclick: () => toggle(label) }, [swatch(styleOf(label)), make("span", { text: label })]));
    const all = make("button", { type: "button", class: "bulk", text: "all", onclick: () => { hidden.clear(); show(); } });
    const none = make("button", { type: "button", class: "bulk", text: "none", onclick: () => { labels.forEach((label) => hidden.add(label)); show(); } });
    legend.replaceChildren(...(labels.length > 6 ? [all, none] : []), ...toggles, ...(labels.length > 1 && labels.length <= 6 ? [all, none] : []));
  }

  function toggle(label) {
    const position = [...legend.children].indexOf(document.activeElement);
    if (!hidden.delete(label)) hidden.add(label);
    show();
    if (position >= 0) legend.children[position].focus();
  }

  function series(curve, place, connect, faint) {
    const style = styleOf(curve.method);
    return { label: curve.method, color: colorOf(style), marker: style.marker, line: style.line, connect, faint, points: curve.points.map(percent).map(place).filter((point) => point.x !== null) };
  }

  function show() {
    const found = curves();
    fillLegend(found);
    const visible = found.filter((curve) => !curve.full && !hidden.has(curve.method));
    const full = found.filter((curve) => curve.full).flatMap((curve) => curve.points.map(percent));
    ratioChart(visible, full);
    costChart(visible, full);
  }

  function ratioChart(visible, full) {
    const ratios = DATA.tables.find((table) => table.id === scope.value).ratios.filter((ratio) => ratio > 0).map((ratio) => 100 * ratio);
    const ends = ratios.length ? [Math.min(...ratios), Math.max(...ratios)] : [0, 100];
    const margin = Math.max((ends[1] - ends[0]) * .08, 3);
    const shift = (number) => (number - (visible.length - 1) / 2) * Math.min(5, 26 / Math.max(visible.length, 1));
    chart(byId("chart-ratio"), {
      title: `${TITLES[metric.value]} against the pruned share`, xTitle: "removed share of the training set", yTitle: `${DATA.metrics[metric.value]} (%)`,
      series: visible.map((curve, number) => series(curve, (point) => ({ ...point, x: 100 * point.ratio, shift: shift(number) }), true)),
      references: full, front: [], one: null, xTicks: ratios, xLimits: [ends[0] - margin, ends[1] + margin],
    });
  }

  // Of equal cost (as far as can be seen) side by side, as at a ratio: else only the last drawn could be reached.
  function sideBySide(points, range) {
    const ordered = [...points].sort((a, b) => a.x - b.x);
    for (let start = 0, end = 1; start < ordered.length; start = end++) {
      while (end < ordered.length && ordered[end].x - ordered[end - 1].x < range / 150) end++;
      const step = Math.min(5, 26 / (end - start));
      const equal = points.filter((point) => ordered.indexOf(point) >= start && ordered.indexOf(point) < end);
      equal.forEach((point, number) => { point.shift = (number - (equal.length - 1) / 2) * step; });
    }
  }

  function costChart(visible, full) {
    const drawn = visible.map((curve) => series(curve, (point) => ({ ...point, x: point.cost }), true, true));
    const reference = full.filter((point) => point.cost !== null).map((point) => ({ ...point, x: point.cost }));
    if (reference.length) drawn.push({ label: "full", color: "var(--ink)", marker: "*", line: "-", connect: false, points: reference });
    const costs = drawn.flatMap((one) => one.points.map((point) => point.x));
    const ends = costs.length ? [Math.min(...costs, 1), Math.max(...costs, 1)] : [0, 1];
    const margin = Math.max((ends[1] - ends[0]) * .06, .03);
    const points = drawn.flatMap((one) => one.points);
    sideBySide(points, ends[1] - ends[0]);
    const front = metric.value === "accuracy" ? points.filter((point) => point.front).sort((a, b) => a.x - b.x) : [];
    chart(byId("chart-cost"), {
      title: `${TITLES[metric.value]} against the whole cost`, xTitle: "cost, in trainings on full data", yTitle: `${DATA.metrics[metric.value]} (%)`,
      series: drawn, references: full, front, one: 1, xTicks: null, xLimits: [Math.max(ends[0] - margin, 0), ends[1] + margin],
    });
  }

  scope.addEventListener("input", show);
  metric.addEventListener("input", show);
  const box = byId("chart-ratio").parentElement;
  let width = box.clientWidth;
  show();
  new ResizeObserver(() => { if (box.clientWidth !== width) { width = box.clientWidth; show(); } }).observe(box);
})();
