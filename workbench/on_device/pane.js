// The pane around the worker: a sentence in, a card of bars for each model out. ?models=ID,ID names the exports, which fill blanks
// or, with &task=classification, give classes.

const parameters = new URLSearchParams(location.search);
const classifies = parameters.get("task") === "classification";
const EXAMPLES = classifies ? ["A joy from the first scene to the last.", "Two hours of my life that nobody will give back to me.",
  "The plot is thin, but the two leads are a joy to watch."] : ["This film was absolutely [MASK].", "The acting is [MASK] but the story is too long.", "I would [MASK] recommend it to my friends."];
const PAUSE = 350;  // milliseconds without a key after which the sentence is filled

const {sentence, message, models, device, ask, insert, examples} = Object.fromEntries(
  ["sentence", "message", "models", "device", "ask", "insert", "examples"].map((id) => [id, document.getElementById(id)]));
const worker = new Worker("worker.js", {type: "module"});
let names = (parameters.get("models") ?? "").split(",").filter((name) => /^[\w.-]+$/.test(name));
const cards = new Map(names.map((name) => [name, models.appendChild(document.createElement("section"))]));
let number = 0, waiting = 0, again = false, pause;

worker.onmessage = ({data}) => {
  const card = cards.get(data.model);
  if (data.kind === "loaded") {
    const {record} = data;
    card.append(make("h2", record.model), make("p", [
      `${record.architecture}, ${millions(record.parameters)} parameters`, `${size(record.forms[record.form].bytes)} in int8`,
      `loaded in ${time(data.milliseconds)}`].join(" · "), "facts"), make("div", "", "answer"));
    fillOnceLoaded();
    return;
  }
  if (data.number === undefined) {  // it could not be loaded: the others continue without it
    card.append(make("h2", data.model), make("p", data.text, "wrong"));
    cards.delete(data.model);
    names = names.filter((name) => name !== data.model);
    if (!names.length) tell("");
    fillOnceLoaded();
    return;
  }
  waiting -= 1;
  if (data.number === number && data.kind === "wrong") tell(data.text, true);
  if (data.number === number && data.kind === "filled") show(card, data);
  if (!waiting && again) fill();
};

function fillOnceLoaded() {
  if (![...cards.values()].some((each) => !each.firstChild)) fill();
}

function fill() {
  if (!names.length || (again = waiting > 0)) return;
  number += 1;
  tell("");
  for (const model of names) {
    waiting += 1;
    worker.postMessage({kind: "fill", model, text: sentence.value, number});
  }
}

function show(card, {blanks, ids, milliseconds, tokenising, runs}) {
  const answer = card.querySelector(".answer");
  const spent = make("p", "", "time");
  spent.append(make("strong", time(milliseconds)), ` for ${ids.length} tokens, median of ${runs} · tokenisation ${time(tokenising)}`);
  answer.replaceChildren(spent, ...blanks.flatMap((fills, index) => {
    const list = make("ol");
    list.setAttribute("aria-label", classifies ? "Classes" : `Fills of blank ${index + 1}`);
    list.append(...fills.map(({text, share}) => {
      const line = make("li"), bar = make("span", "", "bar");
      bar.style.width = `${100 * share}%`;
      line.append(make("span", text), bar, make("span", `${(100 * share).toFixed(1)}%`, "share"));
      return line;
    }));
    return blanks.length > 1 ? [make("h3", `Blank ${index + 1}`), list] : [list];
  }));
  card.dataset.number = number;  // what is shown answers the latest sentence
}

function tell(text, wrong = false) {
  message.textContent = text;
  message.className = wrong ? "wrong" : "";
}

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  return element;
}

const time = (milliseconds) => (milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(1)} s`
  : `${milliseconds >= 10 ? Math.round(milliseconds) : milliseconds.toPrecision(2)} ms`);
const size = (bytes) => `${(bytes / 1e6).toPrecision(3)} MB`;
const millions = (count) => `${(count / 1e6).toPrecision(3)}M`;

function thisDevice() {
  const agent = navigator.userAgent;
  const browser = /Edg\/\d+|Firefox\/\d+|(?:Chrome|Chromium)\/\d+|Version\/[\d.]+(?=.*Safari)/.exec(agent)?.[0].replace("/", " ").replace("Version", "Safari");
  const system = /\(([^)]*)\)/.exec(agent)?.[1].split(";").slice(0, 2).join(",");
  const memory = navigator.deviceMemory ? `, ${navigator.deviceMemory} GB of memory or more` : "";
  return `Computed on this device: ${[browser, system].filter(Boolean).join(" on ")}, ${navigator.hardwareConcurrency} cores${memory}; `
    + "one thread, WebAssembly. What you type stays here.";
}

// The page around the frame: its theme changes without telling the server, and the frame is as high as what it holds.
function followPage() {
  const page = window.parent === window ? null : window.parent.document.querySelector("[data-testid=stApp]");
  if (!page) return;
  const follow = () => {
    const scheme = getComputedStyle(page).colorScheme === "dark" ? "dark" : "light";
    document.documentElement.className = scheme;
    window.frameElement.style.colorScheme = scheme;  // a frame of another scheme than its document's is not transparent
  };
  follow();
  new MutationObserver(follow).observe(page, {attributes: true, attributeFilter: ["class", "style"]});
  new ResizeObserver(() => (window.frameElement.style.height = `${document.body.offsetHeight + 4}px`)).observe(document.body);
}

ask.addEventListener("submit", (event) => { event.preventDefault(); fill(); });
sentence.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); fill(); }
});
sentence.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(fill, PAUSE); });
insert.addEventListener("click", () => {
  sentence.setRangeText("[MASK]", sentence.selectionStart, sentence.selectionEnd, "end");
  sentence.focus();
  fill();
});
for (const text of EXAMPLES) {
  const example = examples.appendChild(make("button", text));
  example.type = "button";
  example.addEventListener("click", () => { sentence.value = text; fill(); });
}
if (classifies) {
  document.title = "Classify";
  document.querySelector("label[for=sentence]").textContent = "A text";
  document.getElementById("fill").textContent = "Classify";
  insert.hidden = true;
}
sentence.value = EXAMPLES[0];
device.textContent = thisDevice();
followPage();
if (names.length) {
  tell(`Loading ${names.length === 1 ? "the model" : "the models"} …`);
  for (const model of names) worker.postMessage({kind: "load", model});
} else {
  tell("No model is named in this address.", true);
}
