// Loads plotly.js once for all components of a page.

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
