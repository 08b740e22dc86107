// Kept and pruned images of one mask: by score, or by class.
(function () {
  const host = byId("gallery");
  if (!host) return;
  const mask = byId("mask"), view = byId("view"), only = byId("kept");

  function image(entry, sample) {
    const [number, id, label, score, kept, observed] = sample;
    const name = label === null ? "" : entry.names[label] ?? String(label);
    const state = kept ? "kept" : "pruned";
    const said = score === null ? "" : `${observed ? "score" : "predicted"} ${score}`;
    const alt = [`sample ${id}`, name && `class ${name}`, state, said].filter(Boolean).join(", ");
    const uri = DATA.gallery.images[number];
    const picture = uri ? make("img", { src: uri, alt, decoding: "async", class: uri.startsWith("data:image/png") ? "tiny" : null }) : make("span", { class: "none", text: `#${id}` });
    return make("li", { class: `image ${state}`, title: alt }, [picture, make("p", {}, [
      make("span", { class: "name", text: name || `#${id}` }), make("span", { class: "score", text: said }), make("span", { class: "state", text: state }),
    ])]);
  }

  // A strip, or null when none of its samples is to be shown.
  function strip(entry, title, more, samples) {
    const shown = samples.filter((sample) => only.value === "" || String(sample[4]) === only.value);
    if (!shown.length) return null;
    const list = make("ul", { class: "images" }, shown.map((sample) => image(entry, sample)));
    return make("div", { class: "strip" }, [make("h3", { text: `${title} ` }, more), list]);
  }

  function classes(entry) {
    return entry.classes.map(({ label, kept, total, samples }) => strip(
      entry, entry.names[label] ?? String(label),
      [make("small", { text: `${kept} of ${total} kept` }), make("meter", { min: 0, max: total, value: kept, "aria-label": `${kept} of ${total} kept` })],
      samples,
    )).filter(Boolean);
  }

  function about(entry, byClass) {
    const said = [entry.scored ? `Scores of ${entry.score}: higher is kept first.` : "This method has no score for a single sample."];
    if (byClass) said.push(entry.scored ? "The 4 highest and the 4 lowest scores of each class." : "Some samples of each class, kept and pruned.");
    return said.join(" ");
  }

  function show() {
    const entry = DATA.gallery.masks[mask.value];
    const byClass = view.value === "classes";
    const parts = byClass ? classes(entry) : entry.strips.map(({ title, samples }) => strip(entry, title, [], samples)).filter(Boolean);
    const none = make("p", { class: "hint", text: "None of the samples shown here is so." });
    host.replaceChildren(make("p", { class: "hint", text: about(entry, byClass) }), ...(parts.length ? [make("div", { class: byClass ? "classes" : null }, parts)] : [none]));
  }

  const first = DATA.gallery.masks.findIndex((entry) => entry.scored);
  if (first > 0) mask.value = String(first);
  for (const control of [mask, view, only]) control.addEventListener("input", show);
  show();
})();
