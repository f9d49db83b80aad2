(() => {
  "use strict";
  const phone = matchMedia("(max-width: 40rem)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)");
  const plots = [...document.querySelectorAll(".plot")];
  const figures = new Map(plots.map((plot) => [
    plot, JSON.parse(document.getElementById(plot.dataset.figure).textContent),
  ]));

  // The figure's layout with the page's colours, and its legend where there is room for it.
  function layoutOf(figure, width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const layout = structuredClone(figure.layout);
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
      // A finger that drags over a figure means to scroll the page.
      dragmode: touch.matches ? false : "zoom",
    });
    layout.font = { ...layout.font, color: colour("--ink"), size: phone.matches ? 11 : 13 };
    layout.modebar = {
      bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--ink"),
    };
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: colour("--box"), bordercolor: colour("--line"),
      font: { color: colour("--ink") },
    };
    for (const [name, axis] of Object.entries(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        Object.assign(axis, {
          gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false,
        });
      }
    }
    if (phone.matches || width) placeLegendBelow(figure, layout);
    if (width) Object.assign(layout, { autosize: false, width });
    return layout;
  }

  function placeLegendBelow(figure, layout) {
    const names = figure.data.filter((one) => one.showlegend !== false).map((one) => one.name);
    if (layout.showlegend === false || names.length < 2) return;
    // Plotly puts as many in a row as the longest name lets it.
    const widest = 50 + 7 * Math.max(...names.map((name) => name.length));
    const columns = Math.max(1, Math.floor(document.body.clientWidth / widest));
    const room = 20 * Math.ceil(names.length / columns) + 16;
    layout.legend = {
      ...layout.legend, orientation: "h", x: 0, xanchor: "left",
      y: 0, yref: "container", yanchor: "bottom",
    };
    layout.height += room;
  }

  function draw(width) {
    for (const [plot, figure] of figures) {
      const layout = layoutOf(figure, width);
      plot.style.minHeight = `${layout.height}px`;
      Plotly.react(plot, structuredClone(figure.data), layout, {
        responsive: true, displaylogo: false,
        // Named one by one: Plotly's own choice offers to send the figure to a server.
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
        displayModeBar: touch.matches || phone.matches ? false : "hover",
      });
    }
  }

  draw();
  phone.addEventListener("change", () => draw());
  dark.addEventListener("change", () => draw());

  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = closed();
    for (const one of opened) one.open = true;
    draw(680);  // pixels that fit A4 and letter paper
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    draw();
  });

  const copy = document.getElementById("copy");
  if (copy) {
    const code = document.getElementById("winner-code");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch {
        // No clipboard for this page: leave the code selected, ready for the keyboard.
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }
})();
