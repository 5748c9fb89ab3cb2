// Draws a figure in place: zoom, pan and hidden legend entries stay while new points arrive.

function loadPlotly(url) {
  window.stillhousePlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(`could not load ${url}`));
    document.head.appendChild(script);
  });
  return window.stillhousePlotly;
}

// The page's theme reaches a component as CSS variables; a change of theme runs the component again.
function withThemeColours(layout, element) {
  const css = getComputedStyle(element);
  const value = (name) => css.getPropertyValue(`--st-${name}`).trim();
  const axis = { gridcolor: value("border-color-light"), linecolor: value("border-color") };
  const template = layout.template.layout;
  Object.assign(template.xaxis, axis);
  Object.assign(template.yaxis, axis);
  Object.assign(template.font, { color: value("text-color"), family: value("font") });
  Object.assign(template.hoverlabel, {
    bgcolor: value("secondary-background-color"),
    bordercolor: value("border-color"),
    font: { color: value("text-color"), family: value("font") },
  });
  return { ...layout, autosize: true };
}

export default function ({ data, parentElement }) {
  const element = parentElement.querySelector(".live-plotly");
  const figure = JSON.parse(data.figure);
  const layout = withThemeColours(figure.layout, parentElement);
  element.style.height = `${data.height}px`;
  element.setAttribute("aria-label", data.label);
  let mounted = true;
  loadPlotly(data.plotly).then((Plotly) => {
    if (mounted) {
      Plotly.react(element, figure.data, layout, {
        responsive: true,
        displaylogo: false,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      });
    }
  });
  // No Plotly.purge: this also runs before every update.
  return () => {
    mounted = false;
  };
}
