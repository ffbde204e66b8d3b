// Remembers the chosen theme. The style sheet alone switches between themes.
(() => {
  const root = document.documentElement;
  const themes = ["light", "dark"];
  const show = (theme) => {
    if (themes.includes(theme)) root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  let store = null;
  try {
    store = window.localStorage;
    show(store.getItem("theme"));
  } catch {
    // A browser may refuse to store anything.
  }
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById(`theme-${root.dataset.theme ?? "auto"}`);
    if (choice) choice.checked = true;
  });
  document.addEventListener("change", ({ target }) => {
    if (target.name !== "theme") return;
    show(target.value);
    try {
      store?.setItem("theme", target.value);
    } catch {
      // The choice lasts as long as the page.
    }
  });
})();
