// The page: its frame, its keys, and the view the address names.

const VIEWS = { browse: ["Browse", filterForm, browseView], compare: ["Compare", compareForm, compareView] };
let turn = 0; // counts what was asked for: only what was asked for last is shown

function frame(data) {
  const links = Object.entries(VIEWS).map(([name, [label]]) =>
    element("a", { id: `view-${name}`, href: `#view=${name}` }, label),
  );
  const form = element("form", { id: "filters", role: "search", "aria-label": "filters" });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    const keep = target.name === "colour" ? { page: readState().page } : {};
    go({ ...keep, [target.name]: target.value.trim() });
  });
  const pager = (end) =>
    element(
      "nav",
      { class: "pager", "aria-label": `pages, ${end}` },
      element("a", { class: "previous", id: `previous-${end}` }, "← previous"),
      element("span", { class: "page-number" }),
      element("a", { class: "next", id: `next-${end}` }, "next →"),
    );
  document.getElementById("viewer").replaceChildren(
    element(
      "header",
      {},
      element("p", { class: "kind" }, "Trajectories"),
      element("h1", {}, visible(data.title)),
      element("nav", { class: "views", "aria-label": "views" }, links),
    ),
    form,
    element("div", { id: "warnings", role: "alert" }),
    element(
      "div",
      { class: "bar" },
      element("p", { id: "count", role: "status" }),
      element("a", { id: "clear" }, "clear filters"),
      pager("above"),
    ),
    element("ul", { class: "signs", "aria-label": "signs" }, signs()),
    element("div", { id: "results" }),
    pager("below"),
  );
}

function signs() {
  const mark = (css, sign) => element("span", { class: `mark ${css}` }, sign);
  return [
    [mark("ok", "✓"), " valid step"],
    [mark("no", "✗"), " invalid step, with the reason"],
    [mark("na", "·"), " not checked"],
    ["↩ backtrack"],
    ["≈ words of going back"],
    [element("s", {}, "struck through"), " taken back later"],
    [element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " turn pages"],
  ].map((line) => element("li", {}, line));
}

// What a view may write to; a view that is not asked for any longer writes nothing.
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

function fillForm(data, state) {
  const form = document.getElementById("filters");
  if (form.dataset.view !== state.view) {
    form.replaceChildren(...VIEWS[state.view][1](data).flat());
    form.dataset.view = state.view;
  }
  const [before, after] = compared(data, state);
  const shown = { ...state, before: before?.key, after: after?.key };
  for (const control of form.elements) if (control.name) control.value = shown[control.name] ?? "";
  form.querySelector(".part-filter")?.classList.toggle("chosen", state.part !== "");
}

async function render(data, rows) {
  const mine = ++turn;
  const main = document.getElementById("viewer");
  main.setAttribute("aria-busy", "true");
  const state = readState();
  if (!(state.view in VIEWS)) state.view = "browse";
  for (const name of Object.keys(VIEWS)) {
    const link = document.getElementById(`view-${name}`);
    if (name === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  fillForm(data, state);
  const cleared = hashOf({ ...DEFAULTS, view: state.view, before: state.before, after: state.after });
  document.getElementById("clear").setAttribute("href", cleared);
  const screen = screenOf(mine);
  try {
    await VIEWS[state.view][2](data, rows, state, screen);
  } catch (error) {
    screen.show("", pageOf([], state), []); // not what was shown before: it is not what is asked for
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
