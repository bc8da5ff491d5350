// The steps of one trajectory: a line each, with detours folded.

const MARKS = { valid: ["ok", "✓"], invalid: ["no", "✗"], unchecked: ["na", "·"] };
const KINDS = { backtrack: ["back", "↩"], marker: ["marker", "≈"] };
const BACKTRACK = /^<backtrack>(?: ([0-9]{1,4}))?$/;

// The steps as a tree: a step's number, or a fold {num, inside} before the backtrack that undid its steps.
// Follows the path as envs/path.py does: every forward line joins it, a valid backtrack cuts it.
function folded(steps) {
  const items = []; // numbers and folds, in order
  const path = []; // steps that stand so far
  steps.forEach((step, number) => {
    const match = step.kind === "backtrack" && step.verdict === "valid" ? BACKTRACK.exec(step.text) : null;
    if (match) {
      const taken = path.splice(match[1] === undefined ? path.length - 1 : Number(match[1]));
      if (taken.length && taken.every((one) => steps[one].undone)) {
        const inside = items.splice(items.indexOf(taken[0]));
        items.push({ num: inside.reduce((sum, item) => sum + numSteps(item, steps), 0), inside });
      }
    } else if (step.kind !== "backtrack") {
      path.push(number);
    }
    items.push(number);
  });
  return items;
}

function numSteps(item, steps) {
  if (typeof item === "object") return item.num;
  return Number(steps[item].kind !== "backtrack");
}

function stepList(steps) {
  return element("ol", { class: "steps" }, listed(folded(steps), steps));
}

function listed(items, steps) {
  return items.map((item) => {
    if (typeof item === "number") return stepLine(steps[item], item);
    const summary = element("summary", {}, `${plural(item.num, "step")} taken back`);
    const inside = element("ol", { class: "steps" }, listed(item.inside, steps));
    return element("li", { class: "fold" }, element("details", { class: "detour" }, summary, inside));
  });
}

function stepLine(step, number) {
  const [css, mark] = MARKS[step.verdict] ?? ["na", "·"];
  const [kindClass, sign] = KINDS[step.kind] ?? ["forward", ""];
  const about = `${step.verdict} ${step.kind}${step.kind === "forward" ? " step" : ""}, line ${number + 1}`;
  const text = element(step.undone ? "s" : "span", { class: "line" }, visible(step.text, "break"));
  return element(
    "li",
    { class: `${kindClass} ${css}${step.undone ? " undone" : ""}` },
    element("span", { class: `mark ${css}`, role: "img", "aria-label": about, title: about }, mark),
    sign ? element("span", { class: "sign", "aria-hidden": "true" }, `${sign} `) : null,
    text,
    step.reason ? element("em", {}, visible(step.reason)) : null,
    useOf(step),
  );
}

// Of what use a line is, and by how many elementary lines it leads nearer the end. A wrong line says so itself.
function useOf(step) {
  if (!step.use || step.use === "unknown" || step.use === "wrong") return null;
  const about = "of what use the line is, and by how many elementary lines it leads nearer the end";
  return element("span", { class: `use ${step.use}`, title: about }, `${step.use} ${progressOf(step)}`);
}

// An infinite progress comes as null: into a dead end, or out of one with a backtrack.
function progressOf(step) {
  if (step.progress === undefined) return "";
  if (step.progress === null) return step.kind === "backtrack" ? "out of a dead end" : "into a dead end";
  return signed(step.progress);
}
