// What is shown, kept in the address after "#", so that a view can be sent on and "back" works.

const RANGES = [
  ["update", "Update"],
  ["reward", "Reward"],
  ["steps", "Steps"],
  ["backtracks", "Backtracks"],
  ["invalid", "Invalid steps"],
  ["tokens", "Tokens"],
  ["index", "Problem"],
];
const SORTS = ["update", "reward", "steps", "backtracks", "tokens"];
const DEFAULTS = { view: "browse", order: "up", page: "1", per: "20", colour: "advantage" };
const KEYS = [
  ...["view", "source", "split", "outcome", "part", "part-from", "part-to", "text", "sort", "order"],
  ...["page", "per", "tokens", "colour", "before", "after", "change"],
  ...RANGES.flatMap(([name]) => [`${name}-from`, `${name}-to`]),
];

// The state as an object of texts; what the address does not name has its default, or "".
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.map((key) => [key, given.get(key) ?? DEFAULTS[key] ?? ""]));
}

function hashOf(state) {
  const kept = KEYS.filter((key) => state[key] !== "" && state[key] !== DEFAULTS[key]);
  return `#${new URLSearchParams(kept.map((key) => [key, state[key]]))}`;
}

// The address of the present view with some keys changed; other rows are meant, so it begins at page 1.
function changed(keys) {
  return hashOf({ ...readState(), page: "1", ...keys });
}

function go(keys) {
  location.hash = changed(keys);
}

// Changes the address of what is already on the screen.
function note(keys) {
  history.replaceState(null, "", hashOf({ ...readState(), ...keys }));
}

function openTokens() {
  return new Set(readState().tokens.split(",").filter((text) => text !== "").map(Number));
}
