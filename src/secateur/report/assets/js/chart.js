// A line chart with intervals, hand-made: axes, series, one point at a time in words.
const MARKS = {
  o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
  s: (r) => `M${-r * .9},${-r * .9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`,
  "^": (r) => `M0,${-1.15 * r}L${1.1 * r},${.85 * r}H${-1.1 * r}z`,
  v: (r) => `M0,${1.15 * r}L${1.1 * r},${-.85 * r}H${-1.1 * r}z`,
  "<": (r) => `M${-1.15 * r},0L${.85 * r},${1.1 * r}V${-1.1 * r}z`,
  ">": (r) => `M${1.15 * r},0L${-.85 * r},${1.1 * r}V${-1.1 * r}z`,
  D: (r) => `M0,${-1.2 * r}L${1.2 * r},0L0,${1.2 * r}L${-1.2 * r},0z`,
  d: (r) => `M0,${-1.3 * r}L${.8 * r},0L0,${1.3 * r}L${-.8 * r},0z`,
  P: (r) => cross(r, 0), X: (r) => cross(r, Math.PI / 4),
  p: (r) => polygon(r * 1.15, 5), h: (r) => polygon(r * 1.15, 6), H: (r) => polygon(r * 1.15, 6, Math.PI / 6), "8": (r) => polygon(r * 1.1, 8),
  "*": (r) => star(r * 1.4),
};

function through(points) {
  return `M${points.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join("L")}z`;
}
function polygon(r, corners, turn = 0) {
  return through([...Array(corners).keys()].map((k) => [r * Math.sin(turn + 2 * Math.PI * k / corners), -r * Math.cos(turn + 2 * Math.PI * k / corners)]));
}
function star(r) {
  return through([...Array(10).keys()].map((k) => { const s = k % 2 ? .45 * r : r; return [s * Math.sin(Math.PI * k / 5), -s * Math.cos(Math.PI * k / 5)]; }));
}
function cross(r, turn) {
  const a = .42 * r, b = 1.15 * r;
  const corners = [[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a], [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]];
  return through(corners.map(([x, y]) => [x * Math.cos(turn) - y * Math.sin(turn), x * Math.sin(turn) + y * Math.cos(turn)]));
}

const markOf = (name, r) => (MARKS[name] || MARKS.o)(r);
const DASHES = { "-": null, "--": "6 3", ":": "1.5 3", "-.": "6 3 1.5 3" };
const dashOf = (line) => (line in DASHES ? DASHES[line] : "8 2 1.5 2 1.5 2");

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
   references [{mean, low, high, name}], front [[x, mean]], one: x of a vertical line or null, xTicks or null, xPercent */
function chart(host, spec) {
  const width = Math.max(host.clientWidth, 260), height = Math.round(Math.min(Math.max(width * .62, 250), 400));
  const left = 46, right = 14, top = 12, bottom = 44;
  const points = spec.series.flatMap((series) => series.points.map((point) => ({ ...point, series })));
  host.replaceChildren(make("h3", { text: spec.title }));
  if (!points.length && !spec.references.length) {
    host.append(make("p", { class: "hint", text: "Nothing to draw: no method is selected, or this was not measured." }));
    return;
  }
  const [low, high] = limitsOf(points, spec.references);
  const [first, last] = spec.xLimits;
  const x = (value) => left + (value - first) / (last - first) * (width - left - right);
  const y = (value) => height - bottom - (value - low) / (high - low) * (height - top - bottom);
  const clip = (value) => Math.min(Math.max(value, low), high);

  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, tabindex: 0, role: "application", "aria-roledescription": "chart",
    "aria-label": `${spec.title}. ${points.length} points: step through them with the arrow keys.` });
  const yTicks = niceTicks(low, high, 5);
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
  if (spec.front.length > 1) svg.append(draw("path", { class: "front", d: `M${spec.front.map(([a, b]) => `${x(a)},${y(b)}`).join("L")}` }));

  const marks = [];
  for (const series of spec.series) {
    const group = draw("g", { class: "series" });
    group.style.setProperty("--color", series.color);
    const at = (point) => x(point.x) + (point.shift || 0);
    if (series.connect && series.points.length > 1) group.append(draw("path", { class: series.faint ? "faint" : null, "stroke-dasharray": dashOf(series.line), d: `M${series.points.map((point) => `${at(point)},${y(point.mean)}`).join("L")}` }));
    for (const point of series.points) {
      if (point.low !== null && point.high !== null) group.append(draw("line", { class: "error", x1: at(point), x2: at(point), y1: y(clip(point.low)), y2: y(clip(point.high)) }));
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

// Mouse: the nearest marker. Keyboard: arrow keys go through them from left to right. Both say what it is.
function pointing(host, svg, marks, width) {
  const tip = make("div", { class: "tip", role: "status" });
  const ordered = [...marks].sort((a, b) => a.place.x - b.place.x || a.place.y - b.place.y);
  let current = -1;
  host.append(tip);

  function show(number) {
    if (ordered[current]) ordered[current].classList.remove("current");
    current = number;
    if (number < 0) return tip.replaceChildren();
    const { x, y, point } = ordered[number].place;
    ordered[number].classList.add("current");
    tip.replaceChildren(make("b", { text: point.name }), document.createTextNode(point.text));
    const scale = svg.getBoundingClientRect().width / width;
    const space = host.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(x * scale + 12, space))}px`;
    const above = svg.getBoundingClientRect().top - host.getBoundingClientRect().top + y * scale - tip.offsetHeight - 12;
    tip.style.top = `${Math.max(above, 0)}px`;
    return undefined;
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = -1, distance = 30 ** 2;
    ordered.forEach((mark, number) => {
      const d = (mark.place.x - x) ** 2 + (mark.place.y - y) ** 2;
      if (d < distance) { best = number; distance = d; }
    });
    return best;
  }

  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", () => show(-1));
  svg.addEventListener("blur", () => show(-1));
  svg.addEventListener("click", (event) => { const number = nearest(event); if (number >= 0) openDetails(ordered[number].place.point.cell); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && ordered.length) { show((current + step + ordered.length + (current < 0 && step < 0 ? 1 : 0)) % ordered.length); event.preventDefault(); }
    if (event.key === "Escape") show(-1);
    if (event.key !== "Enter" || current < 0) return;
    event.preventDefault(); // or it would press the button that gets the focus
    openDetails(ordered[current].place.point.cell);
  });
}
