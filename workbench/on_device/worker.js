// A thread of its own for the models, so that the page stays quick while one computes. Everything here happens on the
// visitor's device: the tokenizer and onnxruntime are WebAssembly and JavaScript, loaded from the app like the model.
//
//   in    {kind: "load", model}            out   {kind: "loaded", model, record, mask, milliseconds}
//         {kind: "fill", model, text, number}    {kind: "filled", model, number, ids, blanks, milliseconds, tokenising, runs}
//                                                `blanks` has a list of answers for each blank; of a classifier one list, its classes
//                                                {kind: "wrong", model, number, text}

const SHOWN = 10;  // fills of a blank
const RUNS = {most: 9, least: 3, within: 600};  // of one sentence, for the median; milliseconds after which no further one begins
const BLANK = /\[MASK\]|<mask>|_{2,}/gi;  // as people write it; core/masking.py says the same

const models = new Map();
const libraries = fetchJson("runtime.json").then(async (places) => {
  const [ort, {Tokenizer}] = await Promise.all([import(`./${places.onnxruntime}`), import(`./${places.tokenizers}`)]);
  ort.env.wasm.numThreads = 1;  // several need headers that would cut the pages off from each other, and help small models little
  return {ort, Tokenizer};
});

onmessage = async ({data: {kind, model, text, number}}) => {
  try {
    if (!models.has(model)) models.set(model, load(model));
    const loaded = await models.get(model);
    if (kind === "load") postMessage({kind: "loaded", model, record: loaded.record, mask: loaded.mask, milliseconds: loaded.milliseconds});
    else postMessage({kind: "filled", model, number, ...(await fill(loaded, text))});
  } catch (error) {
    postMessage({kind: "wrong", model, number, text: error.message});
  }
};

async function load(model) {
  const start = performance.now();
  const [{ort, Tokenizer}, record, tokenizer, config, {id2label}] = await Promise.all([
    libraries, ...["export.json", "tokenizer.json", "tokenizer_config.json", "config.json"].map((name) => fetchJson(`exports/${model}/${name}`))]);
  if (!["masked", "classification"].includes(record.task)) throw new Error(`${record.model} neither predicts masked tokens nor classifies texts.`);
  const graph = await (await answered(`exports/${model}/${record.file}`)).arrayBuffer();
  const session = await ort.InferenceSession.create(new Uint8Array(graph), {executionProviders: ["wasm"]});
  const mask = config.mask_token?.content ?? config.mask_token;
  const milliseconds = performance.now() - start;
  return {ort, record, session, mask, labels: id2label, tokenizer: new Tokenizer(tokenizer, config), milliseconds};
}

async function fill({ort, record, session, mask, labels, tokenizer}, text) {
  const classifies = record.task === "classification";
  const sentence = classifies ? text : text.replace(BLANK, mask);
  const {ids, token_type_ids: types} = tokenizer.encode(sentence, {return_token_type_ids: true});
  const places = classifies ? [0] : ids.flatMap((id, place) => (id === tokenizer.token_to_id(mask) ? [place] : []));
  if (!places.length) throw new Error(`There is no blank in the sentence. Put ${mask} or ___ where a word is missing.`);
  if (ids.length > record.context) throw new Error(`The sentence is ${ids.length} tokens long; ${record.model} reads at most ${record.context}.`);

  const tensor = (numbers) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, ids.length]);
  const given = {input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: types ?? ids.map(() => 0)};
  const feeds = Object.fromEntries(session.inputNames.map((name) => [name, tensor(given[name])]));
  let {logits} = await session.run(feeds);  // the first run allocates memory and is not counted
  const times = [], began = performance.now();
  while (times.length < RUNS.most && (times.length < RUNS.least || performance.now() - began < RUNS.within)) {
    const start = performance.now();
    ({logits} = await session.run(feeds));
    times.push(performance.now() - start);
  }
  const outputs = logits.dims[logits.dims.length - 1];
  const name = classifies ? (id) => labels?.[id] ?? `LABEL_${id}` : (id) => tokenizer.decode([id]).trim() || tokenizer.id_to_token(id);
  const blanks = places.map((place) => likeliest(logits.data.subarray(place * outputs, (place + 1) * outputs), name));
  return {ids, blanks, runs: times.length, milliseconds: median(times), tokenising: timed(() => tokenizer.encode(sentence))};
}

function likeliest(logits, name) {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0);
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]).slice(0, SHOWN);
  return order.map((id) => ({id, text: name(id), share: Math.exp(logits[id] - highest) / total}));
}

function timed(work) {  // milliseconds of something shorter than the clock's grain
  const start = performance.now();
  let times = 0;
  do { work(); times += 1; } while (performance.now() - start < 10);
  return (performance.now() - start) / times;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

async function answered(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} could not be loaded (${answer.status}). Reload the page; export the model again if that does not help.`);
  return answer;
}

async function fetchJson(address) {
  return (await answered(address)).json();
}
