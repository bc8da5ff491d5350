// The tokens of one trajectory, coloured by log-probability or by advantage, with their numbers in a table.

const TOKEN_NUMBERS = { logprob: "log-probability", advantage: "advantage" };
const LOG_HALF = Math.log(0.5);

// The texts of a row's tokens and their numbers; null where it has none that fit.
function tokensOf(row) {
  const pieces = Array.isArray(row.pieces) ? row.pieces : [];
  return {
    pieces,
    logprob: each(row.logprobs, pieces.length),
    advantage: each(row.advantage, pieces.length),
  };
}

// One number per token: as recorded, or that of the whole sequence for all of them.
function each(value, num) {
  if (typeof value === "number") return Array(num).fill(value);
  return Array.isArray(value) && value.length === num ? value : null;
}

function tokenView(row, colour) {
  const tokens = tokensOf(row);
  const missing = Object.keys(TOKEN_NUMBERS).filter((key) => !tokens[key]);
  const lacks = tokens.pieces.length
    ? missing.map((key) => `no ${TOKEN_NUMBERS[key]} of its tokens`)
    : ["no tokens of this completion"];
  const view = element("div", { class: "tokens" });
  view.append(...lacks.map((lack) => element("p", { class: "note" }, `The run recorded ${lack}.`)));
  if (!tokens.pieces.length) return view;
  const numbers = (tokens[colour] ?? []).filter(Number.isFinite);
  if (numbers.length) view.append(tokenLegend(numbers, colour));
  const largest = numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const spans = tokens.pieces.map((piece, number) => tokenSpan(tokens, number, colour, largest));
  view.append(element("div", { class: "pieces" }, spans), tokenTable(tokens));
  return view;
}

function tokenLegend(numbers, colour) {
  const sample = (css, words) => element("span", { class: `token ${css}` }, words);
  if (colour === "logprob") {
    const words = "The stronger the colour, the less probable the token was; ";
    return element("p", { class: "note" }, words, sample("rare below-half", "underlined"), " below one half.");
  }
  const low = numbers.reduce((a, b) => Math.min(a, b));
  const high = numbers.reduce((a, b) => Math.max(a, b));
  const range = low === high ? `${digits(low)} for every token` : `from ${digits(low)} to ${digits(high)}`;
  const samples = [sample("plus", "made likelier"), " ", sample("minus", "made less likely")];
  return element("p", { class: "note" }, `Advantage ${range}: `, samples);
}

function tokenSpan(tokens, number, colour, largest) {
  const known = Object.keys(TOKEN_NUMBERS).filter((key) => tokens[key]);
  const numbers = known.map((key) => `${key} ${digits(tokens[key][number], 4)}`);
  const title = [`token ${number + 1}`, ...numbers].join(" · ");
  const [css, heat] = tokenHeat(tokens[colour]?.[number], colour, largest);
  const span = element("span", { class: `token ${css}`.trim(), title }, visible(tokens.pieces[number], "both"));
  span.style.setProperty("--heat", `${Math.round(6 + 54 * Math.min(1, heat))}%`);
  return span;
}

// A class and a strength from 0 to 1: of an advantage, its share of the largest; of a log-probability, 1 - p.
function tokenHeat(value, colour, largest) {
  if (!Number.isFinite(value)) return ["", 0];
  if (colour === "logprob") return [value < LOG_HALF ? "rare below-half" : "rare", 1 - Math.exp(value)];
  if (value === 0) return ["", 0];
  return [value > 0 ? "plus" : "minus", Math.abs(value) / largest];
}

// The table is made when it is opened: a completion may have thousands of tokens.
function tokenTable(tokens) {
  const summary = element("summary", {}, `Numbers of ${plural(tokens.pieces.length, "token")}`);
  const details = element("details", { class: "numbers" }, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.lastChild === summary) details.append(tableOf(tokens));
  });
  return details;
}

function tableOf(tokens) {
  const columns = Object.keys(TOKEN_NUMBERS).filter((key) => tokens[key]);
  const names = ["token", "text", ...columns.map((key) => TOKEN_NUMBERS[key])];
  const head = names.map((name) => element("th", { scope: "col" }, name));
  const lines = tokens.pieces.map((piece, number) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, String(number + 1)),
      element("td", { class: "mono text" }, visible(piece)),
      columns.map((key) => element("td", {}, digits(tokens[key][number], 4))),
    ),
  );
  const rows = [element("thead", {}, element("tr", {}, head)), element("tbody", {}, lines)];
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "numbers of the tokens" };
  return element("div", region, element("table", {}, rows));
}
