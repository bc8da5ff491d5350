// Groups, the unit of GRPO: all samples of one problem that were drawn together, under one prompt.

let groupsOfData = null; // {rows: [[row, ...], ...] by group, ...statistics}, made when the view is first opened

function allGroups(data) {
  groupsOfData ??= grouped(data);
  return groupsOfData;
}

// Rows of every group, and by group: mean reward, its spread (largest less smallest), samples right, update.
function grouped(data) {
  const { group, reward, right, update } = data.columns;
  const rows = [];
  for (let row = 0; row < data.num; row++) (rows[group[row]] ??= []).push(row);
  const by = (of) => Float64Array.from(rows, of);
  const rewards = (members) => members.map((row) => reward[row]).filter(Number.isFinite);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  return {
    rows,
    update: by((members) => update[members[0]]),
    "mean reward": by((members) => total(rewards(members)) / rewards(members).length),
    "reward spread": by((members) => Math.max(...rewards(members)) - Math.min(...rewards(members)) || 0),
    "samples right": by((members) => total(members.map((row) => right[row]))),
  };
}

// Whether all samples of a group have the same reward, up to rounding: their advantages are then 0.
function zeroVariance(groups, number) {
  return !(groups["reward spread"][number] > 1e-9);
}

// Groups of two or more samples with at least one sample among the rows found.
function groupsWith(data, found, state) {
  const groups = allGroups(data);
  let numbers = Array.from(new Set(Array.from(found, (row) => data.columns.group[row])));
  numbers = numbers.filter((one) => groups.rows[one].length > 1);
  if (state.signal) numbers = numbers.filter((one) => zeroVariance(groups, one) === (state.signal === "none"));
  if (SORTS.groups.includes(state.sort)) sorted(numbers, groups[state.sort], state.order === "down");
  return numbers;
}

async function groupView(data, rows, state, screen) {
  const found = await browsed(data, rows, state, screen);
  if (found === null) return;
  const groups = allGroups(data);
  const numbers = groupsWith(data, found, state);
  const page = pageOf(numbers, state);
  const members = page.items.map((number) => bestFirst(data, groups.rows[number]));
  const read = await Promise.all(members.map((one) => rows.read(one, data.columns.group)));
  const cards = page.items.map((number, at) => groupCard(data, groups, number, members[at], read[at]));
  const all = groups.rows.filter((one) => one.length > 1).length;
  const why = all ? "No group has a trajectory that matches these filters." : "These runs have no group of samples yet.";
  const some = setFilters(state).some(({ keys }) => !("signal" in keys));
  const which = some ? " with a trajectory that matches," : "";
  screen.overview(groupOverview(data, groups, numbers, state));
  const count = `${plural(numbers.length, "group")}${which} of ${all.toLocaleString("en")}`;
  screen.show(count, page, cards.length ? cards : [element("p", { class: "none" }, why)]);
}

function bestFirst(data, members) {
  return sorted([...members], data.columns.reward, true);
}

function groupCard(data, groups, number, members, read) {
  const row = read[0];
  const source = data.sources[data.columns.source[members[0]]];
  const update = row.update ? `update ${row.update} · ` : "";
  const about = source.greedy ? null : element("span", {}, `${update}group ${row.group}`);
  const where = element("span", { class: "where" }, sourceLabel(source));
  return element(
    "section",
    { class: "problem group-card", "data-group": String(number), "aria-label": `${row.split}, problem ${row.index}` },
    element("div", { class: "facts-line" }, where, about),
    problemHead(row, problemLink(row)),
    element("p", { class: "group-facts" }, groupFacts(groups, number)),
    memberTable(data, members, read),
    element("div", { class: "members" }, members.map((member, at) => memberCard(data, read[at], member))),
  );
}

function groupFacts(groups, number) {
  const num = groups.rows[number].length;
  const facts = [
    `${groups["samples right"][number]} of ${plural(num, "sample")} right`,
    `mean reward ${digits(groups["mean reward"][number])}`,
  ];
  const flag = element("b", { class: "flag" }, "zero variance: all rewards are equal, every advantage without step credit is 0");
  return [facts.join(" · "), zeroVariance(groups, number) ? [" · ", flag] : null].flat();
}

// The samples of a group in one table, best reward first.
function memberTable(data, members, read) {
  const names = ["sample", "outcome", "reward", "advantage", "steps", "backtracks", "tokens"];
  const head = names.map((name) => element("th", { scope: "col", class: name === "outcome" ? name : null }, name));
  const { advantage, steps, backtracks, right } = data.columns;
  const largest = Math.max(...members.map((one) => Math.abs(advantage[one]) || 0), 1e-9);
  const lines = members.map((member, at) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, String(read[at].sample)),
      element("td", { class: "outcome" }, badge(right[member] === 1, read[at].outcome)),
      element("td", {}, digits(read[at].reward)),
      element("td", { class: "advantage" }, advantageBar(advantage[member], largest), signed(advantage[member])),
      element("td", {}, String(steps[member])),
      element("td", {}, String(backtracks[member])),
      element("td", {}, String(read[at].tokens)),
    ),
  );
  const rows = [element("thead", {}, element("tr", {}, head)), element("tbody", {}, lines)];
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "samples of the group" };
  return element("div", region, element("table", {}, rows));
}

// A bar to the right for a positive advantage, to the left for a negative one.
function advantageBar(value, largest) {
  const bar = element("span", { class: `bar-of ${value < 0 ? "minus" : "plus"}`, "aria-hidden": "true" });
  bar.style.setProperty("--share", String(Number.isFinite(value) ? Math.abs(value) / largest : 0));
  return bar;
}

function memberCard(data, row, number) {
  const title = element("h3", {}, `sample ${row.sample}`);
  const about = { class: "trajectory", "data-row": String(number), "aria-label": `sample ${row.sample}` };
  return element("article", about, title, trajectoryBody(data, row, number));
}
