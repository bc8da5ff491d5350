// The page: its frame, its keys, and the view the address names.

const VIEWS = {
  browse: ["Trajectories", filterForm, browseView],
  groups: ["Groups", filterForm, groupView],
  compare: ["Compare", compareForm, compareView],
};
const NARROW = 760; // pixels; the overview starts folded on a narrower screen
let turn = 0; // number of the latest request: only its result is shown
let overviewOpen = null; // as the reader left it; null: not touched yet

function frame(data) {
  const links = Object.entries(VIEWS).map(([name, [label]]) => element("a", { id: `view-${name}` }, label));
  const form = element("form", { id: "filters", role: "search", "aria-label": "filters" });
  const order = element("form", { id: "order", "aria-label": "order of the list" });
  for (const one of [form, order]) one.addEventListener("submit", (event) => event.preventDefault());
  for (const one of [form, order]) one.addEventListener("change", onChange);
  const summary = element("summary", {}, "Filters");
  document.getElementById("viewer").replaceChildren(
    element(
      "header",
      {},
      element("p", { class: "kind" }, "Trajectories"),
      element("h1", {}, visible(data.title)),
      element("nav", { class: "views", "aria-label": "views" }, links),
    ),
    element("div", { id: "controls" }, element("details", { id: "fold" }, summary, form), order),
    element("ul", { id: "chips", "aria-label": "filters that are set" }),
    element("div", { id: "warnings", role: "alert" }),
    element("div", { id: "overview-place" }),
    element("div", { class: "bar" }, element("p", { id: "count", role: "status" }), pager("above")),
    element("div", { id: "results" }),
    pager("below"),
    element("ul", { class: "signs", "aria-label": "signs" }, signs(data)),
  );
}

function onChange({ target }) {
  const keep = DISPLAY.includes(target.name) && target.name !== "per" ? { page: readState().page } : {};
  go({ ...keep, [target.name]: target.value.trim() });
}

function pager(end) {
  return element(
    "nav",
    { class: "pager", "aria-label": `pages, ${end}` },
    element("a", { class: "previous", id: `previous-${end}` }, "← previous"),
    element("span", { class: "page-number" }),
    element("a", { class: "next", id: `next-${end}` }, "next →"),
  );
}

const USE = " what the line is for, where known, and how many elementary lines nearer the end it leads";

function signs(data) {
  const mark = (css, sign) => element("span", { class: `mark ${css}` }, sign);
  const judged = [[mark("ok", "✓"), " valid step"], [mark("no", "✗"), " invalid step, with the reason"]];
  return [
    ...(anyChecked(data) ? judged : []),
    [mark("na", "·"), anyChecked(data) ? " not checked" : " step, counted and not checked"],
    ...(anyChecked(data) ? [[element("span", { class: "use" }, "needed +1"), USE]] : []),
    ["↩ backtrack"],
    ["≈ marker of a backtrack in free text"],
    [element("s", {}, "struck through"), " undone later"],
    [element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " previous and next page"],
  ].map((line) => element("li", {}, line));
}

// The places a view writes to; a view that is no longer the latest request writes nothing.
function screenOf(mine) {
  const current = () => mine === turn;
  const paragraphs = (lines) => lines.map((line) => element("p", {}, visible(line)));
  return {
    warn: (lines) => {
      if (current()) document.getElementById("warnings").replaceChildren(...paragraphs(lines));
    },
    progress: (line) => {
      if (current()) document.getElementById("count").textContent = line;
      return current();
    },
    overview: (box) => {
      if (!current()) return;
      document.getElementById("overview-place").replaceChildren(...(box ? [box] : []));
      if (box?.tagName !== "DETAILS") return;
      box.open = overviewOpen ?? window.innerWidth > NARROW;
      box.firstChild.addEventListener("click", () => (overviewOpen = !box.open));
    },
    show: (count, page, results) => {
      if (!current()) return;
      document.getElementById("count").textContent = count;
      document.getElementById("results").replaceChildren(...results);
      for (const nav of document.querySelectorAll(".pager")) turnPager(nav, page);
    },
  };
}

function turnPager(nav, page) {
  nav.hidden = page.last === 1;
  const [number, last] = [page.number, page.last].map((one) => one.toLocaleString("en"));
  nav.querySelector(".page-number").textContent = `page ${number} of ${last}`;
  for (const [name, other] of [["previous", page.number - 1], ["next", page.number + 1]]) {
    const link = nav.querySelector(`.${name}`);
    if (other < 1 || other > page.last) link.removeAttribute("href");
    else link.setAttribute("href", changed({ page: String(other) }));
  }
}

function fillForms(data, state) {
  const [filters, order] = ["filters", "order"].map((id) => document.getElementById(id));
  if (filters.dataset.view !== state.view) {
    filters.replaceChildren(...VIEWS[state.view][1](data, state.view));
    order.replaceChildren(...orderForm(data, state.view));
    filters.dataset.view = state.view;
  }
  const [before, after] = compared(data, state);
  const per = state.per || String(PER_PAGE[state.view]);
  const shown = { ...state, per, before: before?.key, after: after?.key };
  for (const control of [...filters.elements, ...order.elements]) {
    if (control.name) control.value = shown[control.name] ?? "";
  }
  filters.querySelector(".of-part")?.classList.toggle("chosen", state.part !== "");
}

// The filters that are set: their number on the fold, and beside it a link for each that removes it.
function showFilters(state) {
  const chips = filterChips(state);
  const { view, before, after, sort, order, per, colour } = state;
  const cleared = hashOf({ view, before, after, sort, order, per, colour, page: "1" });
  const clear = chips.length ? [element("li", { class: "all" }, element("a", { id: "clear", href: cleared }, "clear all"))] : [];
  const words = chips.length ? `Filters · ${chips.length} set` : "Filters";
  document.querySelector("#fold > summary").textContent = words;
  document.getElementById("chips").replaceChildren(...chips, ...clear);
}

// The links to the views; trajectories and groups share their filters.
function showViews(state) {
  for (const name of Object.keys(VIEWS)) {
    const link = document.getElementById(`view-${name}`);
    const shared = [name, state.view].includes("compare") ? { split: state.split } : { ...state, sort: "", order: "" };
    link.setAttribute("href", hashOf({ ...shared, view: name, page: "1", per: "" }));
    if (name === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function render(data, rows) {
  const mine = ++turn;
  const main = document.getElementById("viewer");
  main.setAttribute("aria-busy", "true");
  const state = readState();
  showViews(state);
  fillForms(data, state);
  showFilters(state);
  const screen = screenOf(mine);
  try {
    await VIEWS[state.view][2](data, rows, state, screen);
  } catch (error) {
    screen.overview(null);
    screen.show("", pageOf([], state), []); // the old list does not match the address
    screen.warn([error.message]);
  }
  if (mine === turn) {
    main.setAttribute("aria-busy", "false");
    main.dataset.shown = location.hash;
  }
}

function turnByKey(event) {
  const side = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  const modified = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  if (!side || modified || event.target.closest("input, select, .scroll, pre")) return;
  const href = document.querySelector(`.pager .${side}`).getAttribute("href");
  if (href) location.hash = href;
}

async function start() {
  let data;
  try {
    data = await loadColumns();
  } catch (error) {
    const main = document.getElementById("viewer");
    main.replaceChildren(element("p", { role: "alert" }, error.message));
    main.dataset.shown = location.hash;
    return;
  }
  const rows = new Rows(data.starts);
  frame(data);
  let page = readState().page;
  window.addEventListener("hashchange", async () => {
    await render(data, rows);
    if (readState().page !== page) document.querySelector(".bar").scrollIntoView();
    page = readState().page;
  });
  document.addEventListener("keydown", turnByKey);
  await render(data, rows);
}

start();
