// A line chart with intervals, hand-made: axes, references, series.
function niceTicks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((k) => k >= raw * .999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (String(step / power).includes(".") ? 1 : 0)) };
}

// The limits show all means, and all bars but those longer than the range of the means.
function limitsOf(points, references) {
  const means = [...points, ...references].map((point) => point.mean);
  const lowest = Math.min(...means), highest = Math.max(...means);
  const span = Math.max(highest - lowest, 1);
  const ends = [...means];
  for (const { low, high } of [...points, ...references]) {
    if (low === null || high === null) continue;
    if (high - low <= span) ends.push(low, high);
    else ends.push(Math.max(low, lowest - span / 4), Math.min(high, highest + span / 4));
  }
  const margin = .06 * (Math.max(...ends) - Math.min(...ends) || 1);
  return [Math.max(Math.min(...ends) - margin, 0 - margin), Math.min(Math.max(...ends) + margin, 100.8)];
}

/* spec: title, xTitle, yTitle, series [{label, color, marker, line, connect, points [{x, shift, mean, low, high, name, text, cell}]}],
   references [{mean, low, high, name}], front [point], one: x of a vertical line or null, xTicks or null, xPercent */
function chart(host, spec) {
  const width = Math.max(host.clientWidth, 260), height = Math.round(Math.min(Math.max(width * .62, 250), 400));
  const right = 14, top = 12, bottom = 44;
  const points = spec.series.flatMap((series) => series.points.map((point) => ({ ...point, series })));
  host.replaceChildren(make("h3", { text: spec.title }));
  if (!points.length && !spec.references.length) {
    host.append(make("p", { class: "hint", text: "Nothing to draw: no method is selected, or this was not measured." }));
    return;
  }
  const [low, high] = limitsOf(points, spec.references);
  const [first, last] = spec.xLimits;
  const yTicks = niceTicks(low, high, 5);
  const left = 32 + 7 * Math.max(...yTicks.ticks.map((tick) => tick.toFixed(yTicks.digits).length)); // the title stands left of the labels
  const x = (value) => left + (value - first) / (last - first) * (width - left - right);
  const y = (value) => height - bottom - (value - low) / (high - low) * (height - top - bottom);
  const clip = (value) => Math.min(Math.max(value, low), high);

  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, tabindex: 0, role: "application", "aria-roledescription": "chart",
    "aria-label": `${spec.title}. ${points.length} points: step through them with the arrow keys.` });
  for (const tick of yTicks.ticks) {
    svg.append(draw("line", { class: "tick", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      draw("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end", text: tick.toFixed(yTicks.digits) }));
  }
  const xTicks = spec.xTicks ? { ticks: spec.xTicks, digits: 0 } : niceTicks(first, last, width < 420 ? 4 : 7);
  let lastLabel = -Infinity;
  for (const tick of xTicks.ticks) {
    svg.append(draw("line", { class: "axis", x1: x(tick), x2: x(tick), y1: height - bottom, y2: height - bottom + 4 }));
    if (x(tick) - lastLabel < 34) continue;
    lastLabel = x(tick);
    svg.append(draw("text", { x: x(tick), y: height - bottom + 18, "text-anchor": "middle", text: spec.xTicks ? `${+tick.toFixed(2)} %` : tick.toFixed(xTicks.digits) }));
  }
  svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    draw("text", { class: "title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: spec.xTitle }),
    draw("text", { class: "title", x: -(top + height - bottom) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle", text: spec.yTitle }));

  const labelled = [];
  for (const full of spec.references) {
    if (full.low !== null) svg.append(draw("rect", { class: "band", x: left, width: width - left - right, y: y(clip(full.high)), height: y(clip(full.low)) - y(clip(full.high)) }));
    svg.append(draw("line", { class: "full", x1: left, x2: width - right, y1: y(full.mean), y2: y(full.mean) }, [draw("title", { text: `${full.name}: ${full.text}` })]));
    if (labelled.some((place) => Math.abs(place - y(full.mean)) < 13)) continue;
    labelled.push(y(full.mean));
    svg.append(draw("text", { class: "label", x: left + 4, y: y(full.mean) - 5, text: full.name }));
  }
  if (spec.one !== null && spec.one >= first && spec.one <= last) svg.append(draw("line", { class: "one", x1: x(spec.one), x2: x(spec.one), y1: top, y2: height - bottom }));
  const at = (point) => x(point.x) + (point.shift || 0);
  if (spec.front.length > 1) svg.append(draw("path", { class: "front", d: spec.front.map((point, n) => (n ? `H${at(point)}V${y(point.mean)}` : `M${at(point)},${y(point.mean)}`)).join("") }));

  const marks = [];
  for (const series of spec.series) {
    const group = draw("g", { class: "series" });
    paint(group, series.color);
    if (series.connect && series.points.length > 1) group.append(draw("path", { class: series.faint ? "faint" : null, "stroke-dasharray": dashOf(series.line), d: `M${series.points.map((point) => `${at(point)},${y(point.mean)}`).join("L")}` }));
    for (const point of series.points) {
      if (point.low === null || point.high === null) continue;
      group.append(draw("line", { class: "error", x1: at(point), x2: at(point), y1: y(clip(point.low)), y2: y(clip(point.high)) }));
      if (point.low < low) group.append(draw("path", { class: "error cut", d: `M${at(point) - 3.5},${y(low) - 6}l3.5,6l3.5,-6` }));
      if (point.high > high) group.append(draw("path", { class: "error cut", d: `M${at(point) - 3.5},${y(high) + 6}l3.5,-6l3.5,6` }));
    }
    for (const point of series.points) {
      const mark = draw("path", { class: point.low === null ? "mark hollow" : "mark", d: markOf(series.marker, 4.6), transform: `translate(${at(point)},${y(point.mean)})` });
      mark.place = { x: at(point), y: y(point.mean), point };
      marks.push(mark);
      group.append(mark);
    }
    svg.append(group);
  }
  host.append(svg);
  pointing(host, svg, marks, width);
}
