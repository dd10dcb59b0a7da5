// What the pages do beyond links and forms. Everything works without it, save copying and the live update.
(() => {
  const each = (selector, does, root = document) => root.querySelectorAll(selector).forEach(does);

  // Windows: a link or button opens one in place of the page it leads to.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) {
      event.preventDefault();
      document.getElementById(opener.dataset.opens).showModal();
    }
    const closer = event.target.closest("dialog [data-closes]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
    }
  });
  each("dialog[data-opens-itself]", (dialog) => dialog.showModal());
  each("[data-focuses-itself]", (element) => element.focus());

  // Lists that open over the page close again when somebody goes on elsewhere.
  const closeMenus = (except) => each("details[data-menu][open]", (menu) => menu !== except && (menu.open = false));
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details[data-menu]")));
  document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details[data-menu]")));
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details[data-menu][open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copies);
    const icon = button.querySelector("i");
    icon.className = "fa-solid fa-check";
    document.getElementById("said").textContent = "Copied.";
    setTimeout(() => (icon.className = "fa-regular fa-copy"), 1500);
  });

  // Rows of a form: another one of the same, or one less.
  document.addEventListener("click", (event) => {
    const adder = event.target.closest("[data-adds]");
    if (adder) {
      const made = document.getElementById(adder.dataset.adds).content.cloneNode(true);
      const number = Date.now();
      each("*", (element) => {
        for (const { name, value } of [...element.attributes]) {
          if (value.includes("NUMBER")) element.setAttribute(name, value.replaceAll("NUMBER", number));
        }
      }, made);
      const first = made.querySelector("select, input");
      document.getElementById(adder.dataset.into).append(made);
      first.focus();
    }
    const remover = event.target.closest("[data-removes]");
    if (remover) remover.closest(remover.dataset.removes).remove();
  });

  const button = document.querySelector("[data-theme-switch]");
  const named = () => {
    button.querySelector("[data-theme-name]").textContent = popreceiptTheme.names[popreceiptTheme.chosen()];
  };
  button.addEventListener("click", () => {
    const names = Object.keys(popreceiptTheme.names);
    popreceiptTheme.choose(names[(names.indexOf(popreceiptTheme.chosen()) + 1) % names.length]);
    named();
  });
  named();

  // Live update: the part that changes asks for itself. It waits while somebody has it in use.
  const live = document.querySelector("[data-live]");
  const wanted = document.querySelector("[data-live-switch]");
  if (live && wanted) {
    wanted.checked = localStorage.getItem("popreceipt-live") !== "off";
    wanted.addEventListener("change", () => {
      localStorage.setItem("popreceipt-live", wanted.checked ? "on" : "off");
      if (wanted.checked) update();
    });
    const isInUse = () => {
      const selection = getSelection();
      return document.querySelector("dialog[open]") || (!selection.isCollapsed && live.contains(selection.anchorNode));
    };
    const update = async () => {
      if (!wanted.checked || document.hidden || isInUse()) return;
      const answer = await fetch(live.dataset.live, { headers: { "x-fragment": "yes" } }).catch(() => null);
      if (!answer || !answer.ok || isInUse()) return;
      replace(await answer.text());
    };
    const replace = (html) => {
      const focused = live.contains(document.activeElement) ? document.activeElement : null;
      const place = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.hasAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
      const scrolled = [...live.querySelectorAll(".table-scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
      const isRegion = focused && focused.classList.contains("table-scroll");
      live.innerHTML = html;
      live.querySelectorAll(".table-scroll").forEach((one, number) => scrolled[number] && one.scrollTo(...scrolled[number]));
      const again = isRegion ? live.querySelector(".table-scroll") : place && live.querySelector(place);
      if (again) again.focus({ preventScroll: true });
      live.dispatchEvent(new CustomEvent("updated"));
    };
    setInterval(update, 2000);
  }

  // From here on every button does something.
  document.documentElement.setAttribute("data-ready", "");
})();
