// Comparing: two evaluated checkpoints side by side on the problems that both were evaluated on.

// The checkpoints in the state; by default the last two of a run, or the last one of each of two runs.
function compared(data, state) {
  const evaluated = data.sources.filter((source) => source.evaluated);
  const runs = new Map(evaluated.map((one) => [one.key.slice(0, one.key.lastIndexOf("/")), one]));
  const [before, after] = (runs.size > 1 ? [...runs.values()] : evaluated).slice(-2);
  const find = (key, otherwise) => evaluated.find((one) => one.key === key) ?? otherwise;
  return [find(state.before, before), find(state.after, after ?? before)];
}

// How the result on a problem changed, by the rules of rl/runs/changes.py.
function changeOf(data, before, after) {
  const { right, steps } = data.columns;
  if (!(right[before] && right[after])) return right[before] ? "lost" : right[after] ? "gained" : "neither";
  return steps[after] < steps[before] ? "fewer" : steps[after] > steps[before] ? "more" : "same";
}

// Pairs of rows {before, after, change, moved} on the same problem, and `others`: how many problems have the same
// number but another text, as in runs with other settings. Those are different problems.
function pairs(data, sources, split) {
  const { problem, place, steps } = data.columns;
  const [first, second] = sources.map((source) => evaluatedRows(data, source, split));
  const byProblem = new Map(first.map((row) => [problem[row], row]));
  const places = new Set(first.map((row) => place[row]));
  const found = [];
  let others = 0;
  for (const after of second) {
    const before = byProblem.get(problem[after]);
    if (before === undefined) {
      others += Number(places.has(place[after]));
      continue;
    }
    const change = changeOf(data, before, after);
    const moved = change === "more" || change === "fewer" ? Math.abs(steps[before] - steps[after]) : 0;
    found.push({ before, after, change, moved });
  }
  return { found: inOrder(data, found), others };
}

// Rows of a checkpoint: the first completion of each problem.
function evaluatedRows(data, source, split) {
  const columns = data.columns;
  const ranges = [
    [columns.source, data.sources.indexOf(source), data.sources.indexOf(source)],
    [columns.sample, 0, 0],
  ];
  if (split) ranges.push([columns.split, data.names.split.indexOf(split), data.names.split.indexOf(split)]);
  return Array.from(matching(data, ranges));
}

// Ordered by change, the worst first, then by the change in steps, the largest first, then by problem number.
function inOrder(data, found) {
  const { index } = data.columns;
  const rank = new Map(data.changes.map(([key], place) => [key, place]));
  return found.sort(
    (x, y) =>
      rank.get(x.change) - rank.get(y.change) ||
      y.moved - x.moved ||
      index[x.after] - index[y.after] ||
      x.after - y.after,
  );
}

async function compareView(data, rows, state, screen) {
  const sources = compared(data, state);
  if (!sources[0]) {
    const none = element("p", { class: "none" }, "These runs have no evaluated checkpoint to compare yet.");
    screen.warn([]);
    screen.overview(null);
    screen.show("", pageOf([], state), [none]);
    return;
  }
  const { found, others } = pairs(data, sources, state.split);
  const differ = `${plural(others, "problem")} with the same number but another text: left out.`;
  screen.warn(others ? [differ] : []);
  const chosen = state.change ? found.filter((pair) => pair.change === state.change) : found;
  const page = pageOf(chosen, state);
  const read = await rows.read(page.items.flatMap((pair) => [pair.before, pair.after]), data.columns.group);
  const cards = page.items.map((pair, at) => pairCard(data, pair, sources, read.slice(2 * at, 2 * at + 2)));
  const why = found.length ? "No problem changed in this way." : "The two have no problem in common.";
  const none = cards.length ? null : element("p", { class: "none" }, why);
  const both = `${found.length.toLocaleString("en")} that both have`;
  const count = `${plural(chosen.length, "problem")} of the ${both}`;
  screen.overview(changeCounts(data, found, state));
  screen.show(count, page, [...cards, none].filter(Boolean));
}

function changeCounts(data, found, state) {
  const lines = data.changes.map(([key, label]) => {
    const num = found.filter((pair) => pair.change === key).length;
    const chosen = state.change === key;
    const link = { href: changed({ change: chosen ? "" : key }), "aria-current": chosen ? "true" : null };
    const counted = element("a", link, element("b", {}, num.toLocaleString("en")), ` ${label}`);
    return element("li", { class: num ? null : "zero", "data-change": key }, counted);
  });
  return element("ul", { class: "counts", "aria-label": "changes" }, lines);
}

function pairCard(data, pair, sources, read) {
  const [, label] = data.changes.find(([key]) => key === pair.change);
  const columns = [pair.before, pair.after].map((number, side) =>
    element(
      "section",
      { "data-row": String(number) },
      element("h3", {}, sourceLabel(sources[side])),
      trajectoryBody(data, read[side], number),
    ),
  );
  const row = read[1];
  const about = `${row.split}, problem ${row.index}`;
  return element(
    "article",
    { class: "problem pair-card", "data-change": pair.change, "aria-label": about },
    problemHead(row, visible(row.split), ` · problem ${row.index} · `, element("b", {}, label)),
    element("div", { class: "columns" }, columns),
  );
}
