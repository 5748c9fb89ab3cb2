// Draws a figure in place: zoom, pan and hidden legend entries stay while new points arrive. The zoom also outlives the
// element, which goes with its tab, and a reload of the page.

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

const AXES = ["xaxis", "yaxis"];
const NARROW = 480; // pixels

function keptView(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? {};
  } catch {
    return {}; // a browser that keeps nothing
  }
}

function keepView(key, change) {
  const view = keptView(key);
  for (const axis of AXES) {
    if (change[`${axis}.autorange`]) delete view[axis];
    else if (`${axis}.range[0]` in change) view[axis] = [change[`${axis}.range[0]`], change[`${axis}.range[1]`]];
    else if (change[`${axis}.range`]) view[axis] = change[`${axis}.range`];
  }
  try {
    sessionStorage.setItem(key, JSON.stringify(view));
  } catch {
    // full, or forbidden: the zoom ends with the element
  }
}

function fit(Plotly, element) {
  const width = element.clientWidth;
  if (width > 0 && Math.abs(width - element._fullLayout.width) > 1) Plotly.Plots.resize(element);
}

// A logarithmic axis counts in powers of ten: a range kept on the other scale means something else.
function viewKey(figure) {
  return `figure ${figure.layout.uirevision} ${figure.layout.yaxis?.type ?? ""} ${figure.layout.yaxis?.title?.text ?? ""}`;
}

// Arrays come as text in base 64 (plotly's own notation); points can only be added to plain ones.
const ARRAYS = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

function plain(values) {
  if (!values?.bdata) return values;
  const bytes = Uint8Array.from(atob(values.bdata), (character) => character.charCodeAt(0));
  return Array.from(new ARRAYS[values.dtype](bytes.buffer));
}

// For each trace: how many points stay, and the coordinates of those that follow.
function extend(figure, tails) {
  figure.data = figure.data.map((trace, index) => {
    const [stay, x, y] = tails[index];
    return { ...trace, x: plain(trace.x).slice(0, stay).concat(x), y: plain(trace.y).slice(0, stay).concat(y) };
  });
}

function draw(element, parentElement) {
  const { data, figure } = element.shown;
  const layout = withThemeColours(structuredClone(figure.layout), parentElement);
  element.style.height = `${data.height}px`;
  element.setAttribute("aria-label", data.label);
  element.dataset.view = viewKey(figure);
  for (const [axis, range] of Object.entries(keptView(element.dataset.view))) {
    layout[axis] = { ...layout[axis], range, autorange: false };
  }
  loadPlotly(data.plotly).then((Plotly) => {
    if (element.shown?.figure !== figure || !element.isConnected) return;
    Plotly.react(element, figure.data, layout, {
      responsive: true,
      displaylogo: false,
      // Fingers zoom without it; on a narrow page it would lie over the legend.
      displayModeBar: !window.matchMedia("(hover: none)").matches && element.clientWidth >= NARROW,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "sendChartToCloud"],
    });
    if (!element.keepsView) {
      element.keepsView = true;
      element.on("plotly_relayout", (change) => keepView(element.dataset.view, change));
      // Plotly itself follows the window only; one drawn where it had no width, as in a closed tab, is 700 pixels wide.
      new ResizeObserver(() => fit(Plotly, element)).observe(element);
    }
  });
}

function receive(element, parentElement, following, news) {
  const shown = element.shown;
  if (news.version === shown.version) return;
  if (news.figure) {
    shown.figure = JSON.parse(news.figure);
  } else if (news.since === shown.version) {
    shown.figure = { ...shown.figure };
    extend(shown.figure, news.tails);
  } else {
    following.shows(""); // something was missed: ask for the whole figure
    following.report();
    return;
  }
  shown.version = news.version;
  following.shows(news.version);
  draw(element, parentElement);
}

export default function ({ data, parentElement }) {
  const element = parentElement.querySelector(".live-plotly");
  // A change of theme runs this again with the data of the last rerun: points that the feed brought since then stay.
  if (element.shown?.data.figure !== data.figure) {
    element.shown = { figure: JSON.parse(data.figure), version: data.live?.version };
  }
  element.shown.data = data;
  draw(element, parentElement);
  let following;
  let mounted = true;
  if (data.live) {
    import(new URL(data.live.script, window.location.origin).href).then(({ follow }) => {
      if (!mounted) return;
      const live = { ...data.live, version: element.shown.version };
      following = follow(live, (news) => receive(element, parentElement, following, news));
    });
  }
  // No Plotly.purge: this also runs before every update.
  return () => {
    mounted = false;
    following?.end();
  };
}
