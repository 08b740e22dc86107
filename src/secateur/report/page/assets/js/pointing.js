// Mouse: what is on top, else the nearest marker. Keyboard: arrow keys go through them from left to right.
// Both say what it is, and what else lies in the same place.
const TOGETHER = 6, REACH = 30, MOST_LISTED = 6; // pixels, pixels, methods

function pointing(host, svg, marks, width) {
  const tip = make("div", { class: "tip", role: "status" });
  const ordered = [...marks].sort((a, b) => a.place.x - b.place.x || a.place.y - b.place.y);
  let current = -1;
  host.append(tip);

  const apart = (mark, x, y) => Math.hypot(mark.place.x - x, mark.place.y - y);

  function said(mark) {
    const others = marks.filter((other) => other !== mark && apart(other, mark.place.x, mark.place.y) <= TOGETHER).reverse();
    const shown = [mark, ...others].slice(0, MOST_LISTED);
    const left = others.length + 1 - shown.length;
    return [
      ...shown.map(({ place: { point } }) => make("p", {}, [make("b", { text: point.name }), document.createTextNode(point.text)])),
      ...(left ? [make("p", { text: `and ${left} more here` })] : []),
    ];
  }

  function show(number) {
    if (ordered[current]) ordered[current].classList.remove("current");
    current = number;
    if (number < 0) return tip.replaceChildren();
    const { x, y } = ordered[number].place;
    ordered[number].classList.add("current");
    tip.replaceChildren(...said(ordered[number]));
    const scale = svg.getBoundingClientRect().width / width;
    const space = host.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(x * scale + 12, space))}px`;
    const middle = svg.getBoundingClientRect().top - host.getBoundingClientRect().top + y * scale;
    const above = middle - tip.offsetHeight - 12;
    tip.style.top = `${above >= 0 ? above : middle + 12}px`; // never over the markers that it tells of
    return undefined;
  }

  function aimedAt(event) {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const onTop = marks.filter((mark) => apart(mark, x, y) <= TOGETHER).at(-1); // drawn last
    if (onTop) return ordered.indexOf(onTop);
    const distances = ordered.map((mark) => apart(mark, x, y));
    const least = Math.min(...distances);
    return least < REACH ? distances.indexOf(least) : -1;
  }

  svg.addEventListener("pointermove", (event) => show(aimedAt(event)));
  svg.addEventListener("pointerleave", () => show(-1));
  svg.addEventListener("blur", () => show(-1));
  svg.addEventListener("click", (event) => { const number = aimedAt(event); if (number >= 0) openDetails(ordered[number].place.point.cell); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && ordered.length) { show((current + step + ordered.length + (current < 0 && step < 0 ? 1 : 0)) % ordered.length); event.preventDefault(); }
    if (event.key === "Escape") show(-1);
    if (event.key !== "Enter" || current < 0) return;
    event.preventDefault(); // or it would press the button that gets the focus
    openDetails(ordered[current].place.point.cell);
  });
}
