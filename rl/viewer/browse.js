// Browsing: the filters, and what they leave, page by page.

const PER_PAGE = ["10", "20", "50", "100"];
let lastFound = { asked: null, found: null }; // a search is not repeated for the next page of it

function filterForm(data) {
  const parts = Object.keys(data.columns).filter((name) => name.startsWith("part:"));
  const sources = data.sources.map((one) => [one.key, `${one.label} (${one.num.toLocaleString("en")})`]);
  const outcomes = [["right", "right"], ["not-right", "not right"], ...named(data.names.outcome)];
  const search = { type: "search", name: "text", placeholder: "text" };
  return [
    choice("source", "Source", [["", "all"], ...sources]),
    choice("split", "Split", [["", "all"], ...named(data.names.split)]),
    choice("outcome", "Outcome", [["", "all"], ...outcomes]),
    field("Contains", element("input", search)),
    ...RANGES.map(([name, label]) => range(name, label)),
    element(
      "div",
      { class: "part-filter" },
      choice("part", "Reward part", [["", "any"], ...named(parts.map((name) => name.slice(5)))]),
      range("part", "Its value"),
    ),
    choice("sort", "Sort by", [["", "order of the files"], ...named(SORTS)]),
    choice("order", "Order", [["up", "lowest first"], ["down", "highest first"]]),
    ...displayChoices(),
  ];
}

function displayChoices() {
  return [
    choice("per", "On a page", named(PER_PAGE)),
    choice("colour", "Colour tokens by", [["advantage", "advantage"], ["logprob", "log-probability"]]),
  ];
}

function named(values) {
  return values.map((value) => [value, value]);
}

function field(label, control) {
  control.id = `filter-${control.name}`;
  return element("div", { class: "field" }, element("label", { for: control.id }, label), control);
}

function choice(name, label, options) {
  const made = options.map(([value, text]) => element("option", { value }, visible(text)));
  return field(label, element("select", { name }, made));
}

function range(name, label) {
  const ends = [["from", "least"], ["to", "most"]].map(([end, words]) => {
    const key = `${name}-${end}`;
    const about = { "aria-label": `${label}, ${words}`, placeholder: words };
    return element("input", { type: "number", step: "any", name: key, id: `filter-${key}`, ...about });
  });
  const title = element("span", { class: "label" }, label);
  const group = { class: "field", role: "group", "aria-label": label };
  return element("div", group, title, element("span", { class: "ends" }, ends));
}

// Numbers of all rows the state asks for; null where it is not wanted any longer.
async function browsed(data, rows, state, screen) {
  const { ranges, unknown } = conditions(data, state);
  screen.warn(unknown.map((what) => `These runs have no ${what}: that filter is left out.`));
  const asked = hashOf({ ...state, page: "", per: "", tokens: "", colour: "" });
  if (lastFound.asked === asked) return lastFound.found;
  let found = matching(data, ranges);
  if (state.text) {
    const tell = (share) => screen.progress(`Searching: ${Math.round(100 * share)} %`);
    found = await containing(rows, found, state.text, tell);
    if (found === null) return null;
  }
  if (SORTS.includes(state.sort)) sorted(found, data.columns[state.sort], state.order === "down");
  lastFound = { asked, found };
  return found;
}

async function browseView(data, rows, state, screen) {
  const found = await browsed(data, rows, state, screen);
  if (found === null) return;
  const page = pageOf(found, state);
  const read = await rows.read(page.items);
  const cards = read.map((row, at) => trajectoryCard(data, row, page.items[at]));
  const count = plural(found.length, "trajectory", "trajectories");
  const none = element("p", { class: "none" }, "No trajectory is like that.");
  screen.show(`${count} of ${data.num.toLocaleString("en")}`, page, cards.length ? cards : [none]);
}

// The part of a list that is on the page the state names; a page beyond the last is the last.
function pageOf(items, state) {
  const per = Math.min(200, Math.max(1, Math.floor(Number(state.per)) || Number(DEFAULTS.per)));
  const last = Math.max(1, Math.ceil(items.length / per));
  const number = Math.min(last, Math.max(1, Math.floor(Number(state.page)) || 1));
  return { number, last, items: items.slice((number - 1) * per, number * per) };
}
