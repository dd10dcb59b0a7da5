// Light or dark, before anything is painted: what was chosen, else what the computer prefers.
(() => {
  const preference = matchMedia("(prefers-color-scheme: dark)");
  const theme = (window.popreceiptTheme = {
    names: { auto: "As the computer", light: "Light", dark: "Dark" },
    chosen: () => localStorage.getItem("popreceipt-theme") || "auto",
    choose(name) {
      localStorage.setItem("popreceipt-theme", name);
      theme.apply();
    },
    apply() {
      const chosen = theme.chosen();
      const shown = chosen === "auto" ? (preference.matches ? "dark" : "light") : chosen;
      document.documentElement.setAttribute("data-bs-theme", shown);
      document.dispatchEvent(new CustomEvent("themed"));
    },
  });
  preference.addEventListener("change", theme.apply);
  theme.apply();
})();
