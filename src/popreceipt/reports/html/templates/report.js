"use strict";
// The page is whole without this: it searches, unfolds, and unfolds for the printer where the style sheet cannot.
(() => {
  const rules = document.getElementById("rules");
  const words = document.getElementById("words");
  const found = document.getElementById("found");
  const button = document.getElementById("unfold");
  const all = [...rules.querySelectorAll(".rule")];
  const texts = all.map((one) => one.textContent.toLowerCase());
  document.getElementById("search").hidden = false;

  const search = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    all.forEach((one, place) => {
      const fits = wanted.every((word) => texts[place].includes(word));
      one.hidden = !fits;
      count += fits ? 1 : 0;
    });
    for (const chapter of rules.querySelectorAll(".chapter")) {
      chapter.hidden = !chapter.querySelector(".rule:not([hidden])");
    }
    found.textContent = wanted.length ? `${count} of ${all.length} rules` : "";
  };
  words.addEventListener("input", search);

  let open = false;
  button.addEventListener("click", () => {
    open = !open;
    for (const one of all) one.open = open && !one.hidden;
    button.textContent = open ? "Fold all" : "Unfold all";
  });

  // A link to a rule that the filter or the search hides shows it again.
  addEventListener("hashchange", () => {
    const there = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const rule = there && there.closest(".rule");
    if (!rule) return;
    if (getComputedStyle(rule).display === "none") {
      words.value = "";
      search();
      document.getElementById("show-all").checked = true;
    }
    rule.open = true;
    rule.scrollIntoView();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open], .is-repeated)")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
})();
