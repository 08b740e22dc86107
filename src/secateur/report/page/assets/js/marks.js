// Markers, dashes and colors of the methods.
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

// A color with at least 3:1 against white paper (WCAG 1.4.11): as given, or as much darker as it takes.
function onPaper(color) {
  if (!/^#[0-9a-f]{6}$/i.test(color)) return color;
  let parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const light = (part) => (part <= 10 ? part / 3294.6 : ((part / 255 + .055) / 1.055) ** 2.4);
  const contrast = () => 1.05 / (.2126 * light(parts[0]) + .7152 * light(parts[1]) + .0722 * light(parts[2]) + .05);
  while (contrast() < 3) parts = parts.map((part) => Math.round(part * .96));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function paint(element, color) {
  element.style.setProperty("--color", color);
  element.style.setProperty("--on-paper", onPaper(color));
}
