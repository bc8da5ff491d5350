// One trajectory: its outcome, its steps, and its tokens on demand.

function problemHead(row, ...about) {
  const full = ` · full trace ${plural(row.full_steps, "step")}`;
  return element(
    "header",
    {},
    element("div", { class: "prompt" }, visible((row.rendered_prompt ?? row.prompt).trim(), "break")),
    element("p", {}, "right answer ", element("code", {}, visible(row.answer)), full, about.length ? " · " : "", about),
  );
}

// A link to all trajectories of this problem.
function problemLink(row) {
  const index = String(row.index);
  const href = changed({ source: "", split: row.split, "index-from": index, "index-to": index });
  return element("a", { href, title: "all trajectories of this problem" }, visible(row.split), ` · problem ${index}`);
}

// The outcome and the steps of a row; `number` is the row's.
function trajectoryBody(data, row, number) {
  const tokens = element("div", { id: `tokens-of-${number}` });
  const text = element("pre", {}, visible(row.text, "both"));
  return [
    judgement(data, row, number, tokenSwitch(row, number, tokens)),
    rewardLine(row),
    row.steps.length ? stepList(row.steps) : element("p", { class: "raw" }, "no steps"),
    statedAnswer(row.stated),
    tokens,
    element("details", { class: "written" }, element("summary", {}, "completion as written"), text),
  ];
}

function judgement(data, row, number, ...more) {
  const at = (name) => data.columns[name][number];
  const right = at("right") === 1;
  const steps = plural(at("steps"), "step");
  const counts = [at("checked") ? steps : `${steps} counted`, plural(at("backtracks"), "backtrack")];
  if (at("invalid")) counts.push(`${at("invalid")} invalid`);
  counts.push(plural(row.tokens, "token"));
  const counted = element("span", {}, counts.join(" · "));
  return element("div", { class: "judged" }, badge(right, row.outcome), counted, more);
}

function badge(right, outcome) {
  const [css, mark] = MARKS[right ? "valid" : "invalid"];
  return element("span", { class: `badge ${css}` }, `${mark} `, visible(outcome));
}

function rewardLine(row) {
  const parts = Object.entries(row.parts).map(([name, value]) => [
    " ",
    element("span", { class: "part" }, visible(name), ` ${digits(value)}`),
  ]);
  const advantage = advantageOf(row);
  return element("p", { class: "reward" }, "reward ", element("b", {}, digits(row.reward)), advantage, parts.flat());
}

// The advantage of a sequence, or the range of those of its tokens.
function advantageOf(row) {
  const values = [row.advantage ?? []].flat().filter(Number.isFinite);
  if (!values.length) return null;
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const range = low === high ? signed(low) : `${signed(low)} to ${signed(high)} by token`;
  return [" · advantage ", element("b", { class: "advantage-of" }, range)];
}

// What the closing line states: null where there is none, undefined where the run did not record it.
function statedAnswer(stated) {
  if (stated === undefined) return null;
  const answer = stated === null ? ["no answer"] : ["answer: ", element("code", {}, visible(stated))];
  return element("p", { class: "stated" }, answer);
}

// The button that shows and hides a row's tokens in a place, and keeps that in the address.
function tokenSwitch(row, number, place) {
  const button = { type: "button", id: `tokens-${number}`, class: "tokens-switch", "aria-controls": place.id };
  const toggle = element("button", button, "tokens");
  const show = (open) => {
    toggle.setAttribute("aria-pressed", String(open));
    place.replaceChildren(...(open ? [tokenView(row, readState().colour)] : []));
  };
  toggle.addEventListener("click", () => {
    const open = openTokens();
    if (!open.delete(number)) open.add(number);
    note({ tokens: [...open].sort((a, b) => a - b).join(",") });
    show(open.has(number));
  });
  show(openTokens().has(number));
  return toggle;
}

function sourceLabel(source) {
  return [element("span", { class: `dot ${source.stage}` }), visible(source.label)];
}

// A trajectory in a list, under the head of its problem.
function trajectoryCard(data, row, number) {
  const source = data.sources[data.columns.source[number]];
  const update = String(row.update);
  const index = String(row.index);
  const only = { split: row.split, "index-from": index, "index-to": index };
  const href = hashOf({ view: "groups", source: source.key, "update-from": update, "update-to": update, ...only });
  const group = element("a", { href, title: "all samples of this group" }, `group ${row.group}`);
  const facts = [
    element("span", { class: "where" }, sourceLabel(source)),
    source.greedy ? null : element("span", {}, row.update ? `update ${update} · ` : "", group, ` · sample ${row.sample}`),
  ];
  return element(
    "article",
    { class: "trajectory", "data-row": String(number), "aria-label": `${row.split}, problem ${index}` },
    element("div", { class: "facts-line" }, facts),
    element("div", { class: "body" }, trajectoryBody(data, row, number)),
  );
}
