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

  function images(entry, samples) {
    const shown = samples.filter((sample) => only.value === "" || String(sample[4]) === only.value);
    return shown.length ? make("ul", { class: "images" }, shown.map((sample) => image(entry, sample))) : make("p", { class: "hint", text: "none" });
  }

  function strip(title, more, child) {
    return make("div", { class: "strip" }, [make("h3", { text: `${title} ` }, more), child]);
  }

  function classes(entry) {
    return make("div", { class: "classes" }, entry.classes.map(({ label, kept, total, samples }) => strip(
      entry.names[label] ?? String(label),
      [make("small", { text: `${kept} of ${total} kept` }), make("meter", { min: 0, max: total, value: kept, "aria-label": `${kept} of ${total} kept` })],
      images(entry, samples),
    )));
  }

  function show() {
    const entry = DATA.gallery.masks[mask.value];
    const parts = view.value === "classes" ? [classes(entry)] : entry.strips.map(({ title, samples }) => strip(title, [], images(entry, samples)));
    const about = entry.scored ? `Scores of ${entry.score}: higher is kept first.` : "This method has no score for a single sample.";
    host.replaceChildren(make("p", { class: "hint", text: about }), ...parts);
  }

  const first = DATA.gallery.masks.findIndex((entry) => entry.scored);
  if (first > 0) mask.value = String(first);
  for (const control of [mask, view, only]) control.addEventListener("input", show);
  show();
})();
