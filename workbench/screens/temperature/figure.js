// A teacher's answer under a slider for the temperature. The equations stand in figure.py.

const STEPS = 1000; // of the slider, which is logarithmic

function softmax(logits, temperature) {
  const highest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = logits.map((value) => Math.exp((value - highest) / temperature));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const entropy = (shares) => -shares.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0);

function numbersAt(data, temperature) {
  const { logits } = data;
  const student = data.student ?? logits.map(() => 0);
  const soft = softmax(logits, temperature);
  const q = softmax(student, temperature);
  const middles = [mean(logits), mean(student)];
  return {
    soft,
    plain: softmax(logits, 1),
    entropy: entropy(soft),
    gradient: soft.map((share, index) => temperature * (q[index] - share)),
    limit: logits.map((value, index) => (student[index] - middles[1] - (value - middles[0])) / logits.length),
  };
}

// Of the probability that is not on the first outcome, how much each of the others holds: what a hard label does not say.
const darkShare = (soft, index) => (index === 0 ? null : soft[index] / Math.max(1 - soft[0], 1e-12));

function percent(share) {
  if (share >= 0.9995 && share < 1) return "> 99.9%";
  return share < 0.0005 && share > 0 ? "< 0.1%" : `${(100 * share).toFixed(1)}%`;
}

function hovers(data, found) {
  return data.labels.map((label, index) => {
    const share = darkShare(found.soft, index);
    const dark = share === null ? "the likeliest: what a hard label says" : `dark knowledge: ${percent(share)} of all that is not on ${data.labels[0]}`;
    return `${label}<br>logit ${data.logits[index].toFixed(2)}, softened ${percent(found.soft[index])}<br>${dark}`;
  });
}

function traces(data, found) {
  const count = data.labels.length;
  const x = [...Array(count).keys()];
  const { teacher, soft, other } = data.colours;
  const text = hovers(data, found);
  const bar = (name, y, axis, color, extra = {}) => ({
    type: "bar", name, x, y: y.slice(0, count), xaxis: "x", yaxis: axis, marker: { color }, hovertext: text, hoverinfo: "text", ...extra,
  });
  const points = (name, y, axis) => ({
    type: "scatter", mode: "markers", name, x, y: y.slice(0, count), xaxis: "x", yaxis: axis, hovertext: text, hoverinfo: "text",
    marker: { color: other, symbol: "line-ew-open", size: 16, line: { width: 2, color: other } },
  });
  return [
    bar("logits", data.logits, "y", teacher),
    bar("softened", found.soft, "y2", soft),
    points("at T = 1", found.plain, "y2"),
    bar("gradient times T²", found.gradient, "y3", soft, { showlegend: true }),
    points("limit for high T", found.limit, "y3"),
  ];
}

function layout(data, parentElement) {
  const css = getComputedStyle(parentElement);
  const value = (name) => css.getPropertyValue(`--st-${name}`).trim();
  const line = { gridcolor: value("border-color-light"), linecolor: value("border-color"), zeroline: true, automargin: true };
  const title = (text) => ({ text, font: { size: 12 }, standoff: 6 });
  const font = { color: value("text-color"), family: value("font"), size: 12 };
  return {
    height: data.height, autosize: true, margin: { l: 60, r: 12, t: 36, b: 40 }, font, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hovermode: "closest", hoverlabel: { bgcolor: value("secondary-background-color"), bordercolor: value("border-color"), font },
    legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" }, bargap: 0.25, uirevision: "temperature",
    xaxis: { tickvals: data.labels.map((_, index) => index), ticktext: data.labels.map((label) => (label.length > 12 ? `${label.slice(0, 11)}…` : label)), anchor: "y3", ...line, zeroline: false, fixedrange: true },
    yaxis: { domain: [0.72, 1], title: title("logit"), ...line, fixedrange: true },
    yaxis2: { domain: [0.37, 0.65], title: title("probability"), rangemode: "tozero", ...line, fixedrange: true },
    yaxis3: { domain: [0, 0.3], title: title("gradient"), ...line, fixedrange: true },
  };
}

function cell(row, text, tag = "td") {
  const made = document.createElement(tag);
  made.textContent = text;
  row.appendChild(made);
  return made;
}

function fillTable(element, data, found, temperature) {
  const table = document.createElement("table");
  table.appendChild(document.createElement("caption")).textContent = `The likeliest of ${data.logits.length.toLocaleString("en")} outcomes`;
  const head = table.createTHead().insertRow();
  for (const name of [data.outcome, "logit", "T = 1", `T = ${temperature.toPrecision(3)}`, "of the rest", "gradient", "limit"]) {
    cell(head, name, "th").scope = "col";
  }
  const body = table.createTBody();
  data.labels.forEach((label, index) => {
    const row = body.insertRow();
    const share = darkShare(found.soft, index);
    if (share !== null && share >= 2 / data.logits.length && share >= 0.1) row.className = "dark";
    const texts = [label, data.logits[index].toFixed(2), percent(found.plain[index]), percent(found.soft[index]), share === null ? "–" : percent(share), found.gradient[index].toPrecision(3), found.limit[index].toPrecision(3)];
    texts.forEach((text) => cell(row, text));
  });
  element.replaceChildren(table);
}

function build(section, data) {
  section.innerHTML = `
    <div class="controls"><label><span>Temperature T = <output class="value"></output></span>
      <input type="range" min="0" max="${STEPS}" step="1" aria-label="Temperature"></label>
      <div class="numbers"><span>Entropy <b class="entropy"></b> of at most <span class="most"></span> nats</span>
        <span>Top probability <b class="top"></b></span></div></div>
    <div class="parts"><div class="plot" role="img"></div><div class="beside"></div></div>
    <p class="notes"></p>`;
  const at = (temperature) => Math.round((STEPS * Math.log(temperature / data.lowest)) / Math.log(data.highest / data.lowest));
  section.querySelector("input").value = at(data.first);
}

export default function ({ data, parentElement }) {
  const section = parentElement.querySelector(".temperature");
  if (!section.firstElementChild) build(section, data);
  const slider = section.querySelector("input");
  const plot = section.querySelector(".plot");
  let waiting = false;
  let ended = false;

  function show() {
    const temperature = data.lowest * (data.highest / data.lowest) ** (Number(slider.value) / STEPS);
    const found = numbersAt(data, temperature);
    section.dataset.temperature = temperature;
    section.dataset.answer = data.answer;
    const shown = temperature.toPrecision(3);
    section.querySelector(".value").textContent = shown;
    slider.setAttribute("aria-valuetext", shown);
    section.querySelector(".entropy").textContent = found.entropy.toPrecision(4);
    section.querySelector(".most").textContent = Math.log(data.logits.length).toPrecision(3);
    section.querySelector(".top").textContent = found.soft[0].toPrecision(4);
    plot.setAttribute("aria-label", `Logits, distribution at T = ${shown} and gradient of ${data.labels.length} outcomes; the table has the numbers.`);
    section.querySelector(".notes").textContent =
      `Logits of ${data.teacher}; gradient of ${data.studentName}. Marked rows hold much of what is not on “${data.labels[0]}”: the dark knowledge. ` +
      "Bars reach the grey limit as T grows: the student then matches logits.";
    fillTable(section.querySelector(".beside"), data, found, temperature);
    loadPlotly(data.plotly).then((Plotly) => {
      if (!ended && plot.isConnected) Plotly.react(plot, traces(data, found), layout(data, parentElement), { responsive: true, displayModeBar: false });
    });
  }

  function moved() {
    if (waiting) return; // once a frame is as often as it can be seen
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!ended) show();
    });
  }

  slider.addEventListener("input", moved);
  show();
  return () => {
    ended = true;
    slider.removeEventListener("input", moved);
  };
}
