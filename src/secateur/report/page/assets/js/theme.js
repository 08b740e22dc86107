// Light, dark, or as the system says; the choice is remembered where the browser allows it.
(function () {
  const button = byId("theme");
  const order = ["auto", "light", "dark"];
  const remember = {
    get() { try { return localStorage.getItem("secateur-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("secateur-theme", value); } catch { /* private mode: not remembered */ } },
  };
  let current = order.includes(remember.get()) ? remember.get() : "auto";

  function show() {
    const names = { auto: "as the system", light: "light", dark: "dark" };
    if (current === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = current;
    button.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[current];
    button.setAttribute("aria-label", `Color theme: ${names[current]}`);
  }

  button.addEventListener("click", () => {
    current = order[(order.indexOf(current) + 1) % order.length];
    remember.set(current);
    show();
  });
  show();
})();
