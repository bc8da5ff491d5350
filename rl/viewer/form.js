// The form of a view: its filters, folded behind a line that names those that are set, and the order of the list.

const DISPLAY = ["per", "colour"];

function filterForm(data, view) {
  const parts = Object.keys(data.columns).filter((name) => name.startsWith("part:"));
  const sources = data.sources.map((one) => [one.key, `${one.label} (${one.num.toLocaleString("en")})`]);
  const outcomes = [["right", "right"], ["not-right", "not right"], ...named(data.names.outcome)];
  const signals = [["some", "rewards differ"], ["none", "zero variance"]];
  const search = { type: "search", name: "text", placeholder: "prompt or completion" };
  return [
    choice("source", "Source", [["", "all"], ...sources]),
    choice("split", "Split", [["", "all"], ...named(data.names.split)]),
    choice("outcome", "Outcome", [["", "all"], ...outcomes]),
    view === "groups" ? choice("signal", "Rewards of the group", [["", "all"], ...signals]) : null,
    field("Contains", element("input", search)),
    ...RANGES.filter(([name]) => name !== "invalid" || anyChecked(data)).map(([name, label]) => range(name, label)),
    choice("part", "Reward part", [["", "any"], ...named(parts.map((name) => name.slice(5)))]),
    range("part", "Its value"),
    ...displayChoices(view),
  ].filter(Boolean);
}

function compareForm(data, view) {
  const changes = choice("change", "Change", [["", "all"], ...data.changes]);
  return [choice("split", "Split", [["", "all"], ...named(data.names.split)]), changes, ...displayChoices(view)];
}

function displayChoices(view) {
  const numbers = [...new Set([PER_PAGE[view], 10, 20, 50, 100])].sort((a, b) => a - b).map(String);
  const colours = [["logprob", "log-probability"], ["advantage", "advantage"]];
  return [choice("per", "On a page", named(numbers)), choice("colour", "Colour tokens by", colours)];
}

// The controls that stand outside the fold.
function orderForm(data, view) {
  if (view === "compare") {
    const evaluated = data.sources.filter((one) => one.evaluated).map((one) => [one.key, one.label]);
    return [choice("before", "Before", evaluated), choice("after", "After", evaluated)];
  }
  const sorts = [["", "order of the files"], ...named(SORTS[view])];
  return [
    choice("sort", "Sort by", sorts),
    choice("order", "Order", [["up", "lowest first"], ["down", "highest first"]]),
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
  const group = { class: `field range of-${name}`, role: "group", "aria-label": label };
  return element("div", group, title, element("span", { class: "ends" }, ends));
}

// The filters that are set, as {label, value, keys}; setting `keys` removes the filter.
function setFilters(state) {
  const names = state.view === "compare" ? ["split", "change"] : ["source", "split", "outcome", "text"];
  if (state.view === "groups") names.push("signal");
  const found = names
    .filter((name) => state[name])
    .map((name) => ({ label: LABELS[name] ?? name, value: valueLabel(name, state[name]), keys: { [name]: "" } }));
  if (state.view === "compare") return found;
  for (const [name, label] of RANGES) {
    const value = rangeLabel(state[`${name}-from`], state[`${name}-to`]);
    if (value) found.push({ label, value, keys: { [`${name}-from`]: "", [`${name}-to`]: "" } });
  }
  if (state.part) {
    const value = [state.part, rangeLabel(state["part-from"], state["part-to"])].filter(Boolean).join(" ");
    found.push({ label: "reward part", value, keys: { part: "", "part-from": "", "part-to": "" } });
  }
  return found;
}

const LABELS = { text: "contains", signal: "rewards" };

function valueLabel(name, value) {
  return name === "signal" && value === "none" ? "zero variance" : name === "signal" ? "differ" : value;
}

function rangeLabel(from, to) {
  if (from === "" && to === "") return "";
  if (from === to) return from;
  return from === "" ? `≤ ${to}` : to === "" ? `≥ ${from}` : `${from} to ${to}`;
}

function filterChips(state) {
  return setFilters(state).map(({ label, value, keys }) => {
    const about = { href: changed(keys), title: "remove this filter" };
    return element("li", {}, element("a", about, `${label.toLowerCase()}: `, element("b", {}, visible(value)), " ×"));
  });
}
