// The state of the page, kept in the address after "#", so that a view can be shared as a link and "back" works.

const RANGES = [
  ["update", "Update"],
  ["reward", "Reward"],
  ["advantage", "Advantage"],
  ["steps", "Steps"],
  ["backtracks", "Backtracks"],
  ["invalid", "Invalid steps"],
  ["tokens", "Tokens"],
  ["index", "Problem number"],
];
const SORTS = {
  browse: ["update", "reward", "advantage", "steps", "backtracks", "tokens"],
  groups: ["update", "mean reward", "reward spread", "samples right"],
};
const PER_PAGE = { browse: 20, groups: 5, compare: 20 };
const DEFAULTS = { view: "browse", order: "up", page: "1", colour: "logprob" };
const KEYS = [
  ...["view", "source", "split", "outcome", "signal", "part", "part-from", "part-to", "text", "sort", "order"],
  ...["page", "per", "tokens", "colour", "before", "after", "change"],
  ...RANGES.flatMap(([name]) => [`${name}-from`, `${name}-to`]),
];

// The state as an object of texts; a key that the address does not name has its default, or "".
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const state = Object.fromEntries(KEYS.map((key) => [key, given.get(key) ?? DEFAULTS[key] ?? ""]));
  return state.view in PER_PAGE ? state : { ...state, view: DEFAULTS.view };
}

function hashOf(state) {
  const kept = KEYS.filter((key) => (state[key] ?? "") !== "" && state[key] !== DEFAULTS[key]);
  return `#${new URLSearchParams(kept.map((key) => [key, state[key]]))}`;
}

// The address of the present view with some keys changed; the list changes, so it starts at page 1.
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

// The part of a list that is on the page the state names; a page beyond the last is the last.
function pageOf(items, state) {
  const per = Math.min(200, Math.max(1, Math.floor(Number(state.per)) || PER_PAGE[state.view]));
  const last = Math.max(1, Math.ceil(items.length / per));
  const number = Math.min(last, Math.max(1, Math.floor(Number(state.page)) || 1));
  return { number, last, items: items.slice((number - 1) * per, number * per) };
}
