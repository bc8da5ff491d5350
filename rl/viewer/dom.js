// Makes elements. All text becomes text nodes, so nothing that a model wrote is parsed as HTML.

const HIDDEN_RUN = /([\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}])\1*/gu;
const PICTURES = { "\n": "↵", "\r": "[CR]", "\t": "⇥" };
const MAX_CHARS = 20000;

// element("a", { class: "x", href: "#" }, "text", child); an attribute that is null or false is left out.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

// Text with control and direction characters shown instead of obeyed, as `visible` of the pages does.
// newlines: "break" keeps them, "both" shows a sign and keeps them, "sign" shows the sign alone.
function visible(text, newlines = "sign") {
  const whole = String(text);
  const shown = whole.slice(0, MAX_CHARS);
  const fragment = document.createDocumentFragment();
  let at = 0;
  for (const run of shown.matchAll(HIDDEN_RUN)) {
    fragment.append(shown.slice(at, run.index));
    at = run.index + run[0].length;
    if (run[1] === "\n" && newlines === "break") fragment.append(run[0]);
    else fragment.append(element("span", { class: "ctl" }, picture(run[1], run[0].length / run[1].length)));
    if (run[1] === "\n" && newlines === "both") fragment.append(run[0]);
  }
  fragment.append(shown.slice(at));
  const left = whole.length - shown.length;
  if (left > 0) fragment.append(element("span", { class: "ctl" }, ` … ${plural(left, "more character")}`));
  return fragment;
}

function picture(char, num) {
  const code = char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  const one = PICTURES[char] ?? `[U+${code}]`;
  return num < 4 ? one.repeat(num) : `${one} ×${num}`;
}

function digits(value, num = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return String(Number(value.toFixed(num))).replace("-", "−");
}

function signed(value, num = 3) {
  return value > 0 ? `+${digits(value, num)}` : digits(value, num);
}

function plural(num, one, many = `${one}s`) {
  return `${num.toLocaleString("en")} ${num === 1 ? one : many}`;
}
