// Browsing: the trajectories that match the filters, page by page.

let lastFound = { searched: null, found: null }; // so that the next page of a search does not search again

// Numbers of all rows that match the state; null once a newer request has replaced this one.
async function browsed(data, rows, state, screen) {
  const { ranges, unknown } = conditions(data, state);
  screen.warn(unknown.map((what) => `These runs have no ${what}: that filter is left out.`));
  const searched = hashOf({ ...state, page: "1", per: "", tokens: "", colour: "", signal: "" });
  if (lastFound.searched === searched) return lastFound.found;
  let found = matching(data, ranges);
  if (state.text) {
    const report = (share) => screen.progress(`Searching: ${Math.round(100 * share)} %`);
    found = await containing(rows, found, state.text, report);
    if (found === null) return null;
  }
  if (state.view === "browse" && SORTS.browse.includes(state.sort)) {
    sorted(found, data.columns[state.sort], state.order === "down");
  }
  lastFound = { searched, found };
  return found;
}

async function browseView(data, rows, state, screen) {
  const found = await browsed(data, rows, state, screen);
  if (found === null) return;
  const page = pageOf(found, state);
  const read = await rows.read(page.items, data.columns.group);
  const count = plural(found.length, "trajectory", "trajectories");
  const none = element("p", { class: "none" }, "No trajectory matches these filters.");
  screen.overview(trajectoryOverview(data, found, state));
  const list = read.length ? sameProblems(data, read, page.items) : [none];
  screen.show(`${count} of ${data.num.toLocaleString("en")}`, page, list);
}

// Neighbours in the list with the same problem stand under one prompt.
function sameProblems(data, read, numbers) {
  const { problem } = data.columns;
  const sections = [];
  read.forEach((row, at) => {
    const number = numbers[at];
    if (at === 0 || problem[number] !== problem[numbers[at - 1]]) {
      sections.push(element("section", { class: "problem" }, problemHead(row, problemLink(row))));
    }
    sections.at(-1).append(trajectoryCard(data, row, number));
  });
  return sections;
}
