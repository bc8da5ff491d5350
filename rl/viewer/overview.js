// The overview above a list: how many by outcome and by reward. Every bar and every outcome is a filter.

const MOST_BARS = 16;
const THOUSANDTHS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];

function trajectoryOverview(data, found, state) {
  if (!found.length) return null;
  const right = found.filter((row) => data.columns.right[row]).length;
  const summary = `${percentOf(right, found.length)} right`;
  const mean = `mean reward ${digits(meanOf(found, data.columns.reward))}`;
  const bars = histogram(rewardBars(data, found, state), "Reward");
  return overviewBox(`${summary} · ${mean}`, [outcomeTable(data, found, state), bars]);
}

function groupOverview(data, groups, numbers, state) {
  if (!numbers.length) return null;
  const zero = numbers.filter((number) => zeroVariance(groups, number)).length;
  const chosen = state.signal === "none";
  const link = { href: changed({ signal: chosen ? "" : "none" }), "aria-current": chosen ? "true" : null };
  const mean = meanOf(numbers, groups["mean reward"]);
  const percent = percentOf(zero, numbers.length);
  const about = ` (${percent}): all samples have the same reward, so every advantage without step credit is 0.`;
  const line = element("p", {}, element("a", link, plural(zero, "zero-variance group")), about);
  const bars = histogram(rightBars(groups, numbers), "Samples right");
  return overviewBox(`${percent} zero variance · mean reward ${digits(mean)}`, [line, bars]);
}

function overviewBox(summary, parts) {
  const filled = parts.filter(Boolean);
  const line = element("summary", {}, element("b", {}, "Overview"), ` ${summary}`);
  return element("details", { id: "overview" }, line, element("div", { class: "overview" }, filled));
}

function percentOf(num, all) {
  return `${Math.round((1000 * num) / all) / 10} %`;
}

function meanOf(found, column) {
  const known = Array.from(found, (row) => column[row]).filter(Number.isFinite);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
}

// A line for each outcome: how many, their share as a bar, mean reward and mean steps.
function outcomeTable(data, found, state) {
  const rows = Map.groupBy(found, (row) => data.columns.outcome[row]);
  const lines = Array.from(rows).sort(([, a], [, b]) => b.length - a.length);
  const head = ["outcome", "trajectories", "", "mean reward", "mean steps"];
  const body = lines.map(([code, members]) => {
    const name = data.names.outcome[code];
    const chosen = state.outcome === name;
    const link = { href: changed({ outcome: chosen ? "" : name }), "aria-current": chosen ? "true" : null };
    const bar = element("span", { class: `bar-of ${data.columns.right[members[0]] ? "plus" : "other"}` });
    bar.style.setProperty("--share", String(members.length / found.length));
    const percent = `${members.length.toLocaleString("en")} (${percentOf(members.length, found.length)})`;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", link, visible(name))),
      element("td", {}, percent),
      element("td", { class: "bar-cell" }, bar),
      element("td", {}, digits(meanOf(members, data.columns.reward), 2)),
      element("td", {}, digits(meanOf(members, data.columns.steps), 1)),
    );
  });
  const heads = element("tr", {}, head.map((name) => element(name ? "th" : "td", { scope: name ? "col" : null }, name)));
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": "trajectories by outcome" };
  const table = element("table", { class: "outcomes" }, element("thead", {}, heads), element("tbody", {}, body));
  return element("div", region, table);
}

// Bars {label, short, right, rest, href} of the rewards: one per value if there are few values, else one per range.
function rewardBars(data, found, state) {
  const known = Array.from(found).filter((row) => Number.isFinite(data.columns.reward[row]));
  const thousandth = (row) => Math.round(1000 * data.columns.reward[row]);
  const values = [...new Set(known.map(thousandth))].sort((a, b) => a - b);
  if (!values.length) return [];
  const width = values.length <= MOST_BARS ? 1 : barWidth(values.at(-1) - values[0]);
  const rows = Map.groupBy(known, (row) => Math.floor(thousandth(row) / width));
  const places = Array.from(rows.keys()).sort((a, b) => a - b);
  const first = places[0];
  const all = width === 1 ? places : Array.from({ length: places.at(-1) - first + 1 }, (_, at) => first + at);
  return all.map((place) => {
    const members = rows.get(place) ?? [];
    const [from, to] = [place * width, place * width + width - 1].map((one) => String(one / 1000));
    const right = members.filter((row) => data.columns.right[row]).length;
    const label = rangeLabel(from, to).replaceAll("-", "−");
    const chosen = state["reward-from"] === from && state["reward-to"] === to;
    const keys = chosen ? { "reward-from": "", "reward-to": "" } : { "reward-from": from, "reward-to": to };
    return { label, short: digits(place * width / 1000, 2), right, rest: members.length - right, href: changed(keys) };
  });
}

function barWidth(range) {
  return THOUSANDTHS.find((width) => range / width < MOST_BARS) ?? Math.ceil(range / MOST_BARS);
}

// Bars of the groups by how many of their samples are right; zero-variance groups are the `rest` of a bar.
function rightBars(groups, numbers) {
  const most = numbers.reduce((num, one) => Math.max(num, groups["samples right"][one]), 0);
  return Array.from({ length: most + 1 }, (_, num) => {
    const members = numbers.filter((one) => groups["samples right"][one] === num);
    const zero = members.filter((one) => zeroVariance(groups, one)).length;
    return { label: `${num} right`, short: String(num), right: members.length - zero, rest: zero, href: null };
  });
}

function histogram(bars, name) {
  if (!bars.length) return null;
  const [first, second] = name === "Reward" ? ["right", "not right"] : ["rewards differ", "zero variance"];
  const most = Math.max(...bars.map((bar) => bar.right + bar.rest));
  const columns = bars.map(({ label, short, right, rest, href }) => {
    const parts = [["rest", rest], ["right", right]].map(([css, num]) => {
      const part = element("span", { class: `piece ${css}` });
      part.style.setProperty("--share", String(num / most));
      return part;
    });
    const [ones, others] = [right, rest].map((num) => num.toLocaleString("en"));
    const title = `${name.toLowerCase()} ${label}: ${ones} ${first}, ${others} ${second}`;
    const stack = element("span", { class: "stack" }, parts);
    const inside = [stack, element("span", { class: "tick" }, short)];
    return element("li", {}, element(href ? "a" : "span", { href, title, "aria-label": title }, inside));
  });
  const legend = element(
    "p",
    { class: "note" },
    `${name}: `,
    element("span", { class: "swatch right" }),
    `${first} `,
    element("span", { class: "swatch rest" }),
    second,
  );
  return element("div", { class: "histogram" }, legend, element("ul", { class: "bars" }, columns));
}
