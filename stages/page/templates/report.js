(async () => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const options = { mode: "vega-lite", renderer: "svg", actions: false, tooltip: { theme: "page" } };
  for (const [id, spec] of Object.entries(charts)) {
    const chart = document.getElementById(id);
    await vegaEmbed(chart, spec, options);
    // Screen readers use its label and the table: the drawing is hundreds of marks without a name.
    chart.querySelector("svg").setAttribute("aria-hidden", "true");
    // Let the page respond between two charts.
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.documentElement.dataset.charts = "drawn";
})();

// A chart has the width of its place, which some browsers know only when it is unfolded.
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => dispatchEvent(new Event("resize")));
}

// On paper, a reader cannot unfold details.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const details of unfolded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
});
