// Finds the rows that match the state, by number.

// Whether any of the tasks checks steps; otherwise they are counted, and none is valid or invalid.
function anyChecked(data) {
  return data.columns.checked.includes(1);
}

const HALF_A_DIGIT = 0.0005; // numbers are shown with three digits: 0.867 finds a row that is shown with 0.867

// Conditions as ranges of columns; `unknown` names values in the state that the data does not have.
function conditions(data, state) {
  const ranges = [];
  const unknown = [];
  const exactly = (column, number, what) => {
    if (number < 0) unknown.push(what);
    else ranges.push([data.columns[column], number, number]);
  };
  const source = data.sources.findIndex((one) => one.key === state.source);
  if (state.source) exactly("source", source, `source ${state.source}`);
  if (state.split) exactly("split", data.names.split.indexOf(state.split), `split ${state.split}`);
  if (state.outcome === "right" || state.outcome === "not-right") {
    exactly("right", Number(state.outcome === "right"), "");
  } else if (state.outcome) {
    exactly("outcome", data.names.outcome.indexOf(state.outcome), `outcome ${state.outcome}`);
  }
  const bounded = RANGES.map(([name]) => [name, data.columns[name]]);
  if (state.part) {
    const column = data.columns[`part:${state.part}`];
    if (!column) unknown.push(`reward part ${state.part}`);
    else bounded.push(["part", column]);
  }
  for (const [name, column] of bounded) {
    const bounds = [`${name}-from`, `${name}-to`].map((key) => state[key]);
    for (const text of bounds) if (Number.isNaN(Number(text))) unknown.push(`number ${text}`);
    const [low, high] = bounds.map((text) => (Number.isNaN(Number(text)) ? "" : text));
    if (low === "" && high === "" && name !== "part") continue;
    const from = low === "" ? -Infinity : Number(low) - HALF_A_DIGIT;
    const to = high === "" ? Infinity : Number(high) + HALF_A_DIGIT;
    ranges.push([column, from, to]);
  }
  return { ranges, unknown };
}

// Numbers of the rows within all ranges; NaN is in no range.
function matching(data, ranges) {
  const found = new Uint32Array(data.num);
  let num = 0;
  for (let row = 0; row < data.num; row++) {
    const kept = ranges.every(([column, low, high]) => column[row] >= low && column[row] <= high);
    if (kept) found[num++] = row;
  }
  return found.slice(0, num);
}

// Sorts in place; equal rows stay in the order of the files, and NaN comes last.
function sorted(rows, column, downwards) {
  const sign = downwards ? -1 : 1;
  return rows.sort((a, b) => {
    const [x, y] = [column[a], column[b]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return sign * (x - y) || a - b;
  });
}

// Rows whose prompt or completion contains a text, upper or lower case; reads all rows, chunk by chunk. It reports
// its progress ten times a second and returns null once a newer request has replaced this one.
async function containing(rows, numbers, text, onProgress) {
  const wanted = text.toLowerCase();
  const found = [];
  let shown = performance.now();
  for (let at = 0; at < numbers.length; at++) {
    const row = await rows.row(numbers[at]);
    if ([row.text, row.prompt].some((one) => one.toLowerCase().includes(wanted))) found.push(numbers[at]);
    if (performance.now() - shown > 100) {
      if (!onProgress(at / numbers.length)) return null;
      await new Promise((resolve) => setTimeout(resolve));
      shown = performance.now();
    }
  }
  return Uint32Array.from(found);
}
