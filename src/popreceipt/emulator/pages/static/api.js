// The API reference: Redoc, in the pages' type and colours. It knows no dark theme, so it stands on white in both.
(() => {
  const place = document.getElementById("reference");
  const fontFamily = getComputedStyle(document.body).fontFamily;
  const options = {
    disableSearch: true, // it would need a worker made of text, which the content security policy forbids
    hideDownloadButton: true,
    nativeScrollbars: true,
    expandResponses: "200,201,204",
    showExtensions: ["x-ability", "x-popreceipt-precondition"],
    theme: {
      colors: { primary: { main: "#1f5fbf" }, text: { primary: "#182433", secondary: "#4c5a6b" } },
      schema: { nestedBackground: "#f6f8fb", linesColor: "#a9c1e6" },
      typography: { fontSize: "14px", fontFamily, headings: { fontFamily }, code: { fontSize: "12.5px" } },
      sidebar: { backgroundColor: "#f6f8fb", textColor: "#182433", width: "250px" },
      rightPanel: { backgroundColor: "#22303f", width: "38%" },
    },
  };
  Redoc.init(place.dataset.document, options, place, (fault) => {
    place.dataset.drawn = fault ? "not" : "yes";
  });
})();
