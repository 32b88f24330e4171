// The frame of all pages: which page is shown, what is asked of the host and how often, and what is said to people.

import * as api from "./api.js";
import { h, show } from "./dom.js";
import { count, span } from "./format.js";
import * as history from "./history.js";
import * as metrics from "./metrics.js";
import { field, moment, panel } from "./parts.js";
import backends from "./backends.js";
import events from "./events.js";
import letters from "./letters.js";
import overview from "./overview.js";
import plugins from "./plugins.js";
import routes from "./routes.js";

const PAGES = [overview, events, routes, plugins, backends, letters];
const EVERY_MS = 2_000;
/** The second turn comes sooner: two make a rate. */
const SECOND_MS = 1_000;
const LONGEST_MS = 30_000;

const at = (id) => document.getElementById(id);
const host = { status: null, answeredAt: null, failed: null };
let page = overview;
let rest = "";
let drawing = false;

const context = {
  get status() {
    return host.status;
  },
  get rest() {
    return rest;
  },
  redraw,
  say,
  confirm,
  /** Asks the host now: something was changed. */
  refresh: () => turn(),
};

// Which page

function route() {
  const [, name = "", tail = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) || [];
  page.leave?.();
  page = PAGES.find(({ path }) => path === name) || overview;
  rest = decodeURIComponent(tail);
  page.enter?.(context);
  document.title = `${page.title} · Stagewire`;
  show(at("page"));
  redraw();
  if (host.status) turn();
}

addEventListener("hashchange", () => {
  route();
  scrollTo(0, 0);
  // Whoever listens to the page hears where they are.
  requestAnimationFrame(() => requestAnimationFrame(heading));
});

function heading() {
  document.querySelector("h1")?.focus({ preventScroll: true });
}

at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("main").focus();
});

// What is shown

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

/** What the numbers beside the pages count. */
const MARKED = { problems: " wrong", backends: " in trouble", letters: " waiting" };

function draw() {
  const { status } = host;
  const troubled = status?.lanes.filter((lane) => lane.state === "down" || lane.breaker === "open").length;
  const marks = { problems: status?.problems?.length, backends: troubled, letters: status?.dead_letters };
  show(at("pages"), PAGES.map(({ title, path, mark }) =>
    h("li", { "data-key": path || "overview" }, h("a", { href: `#/${path}`, "aria-current": path === page.path && "page" }, title,
      marks[mark] > 0 && h("span", { class: "mark" }, count(marks[mark]), h("span", { class: "hidden" }, MARKED[mark]))))));
  facts(status);
  show(at("notices"), notices(status));
  const title = h("h1", { tabindex: "-1", "data-key": "title" }, rest && page.titleOf ? page.titleOf(rest) : page.title);
  const content = host.failed?.unknown ? signIn() : status ? page.view(context) : h("p", { class: "quiet" }, host.failed ? "" : "Asking the host…");
  const inside = at("page").contains(document.activeElement);
  show(at("page"), title, content);
  // Where the focus was is gone: the heading is a place to go on from.
  if (inside && document.activeElement === document.body) heading();
  page.drawn?.();
}

/** The host asks for a token. */
const signIn = () =>
  panel("Sign in", { id: "sign-in" },
    h("form", { "data-act": "sign-in", "data-key": "sign-in-form" },
      field("Token", "token", { type: "password", autocomplete: "current-password", required: true, "aria-describedby": "sign-in-hint" }),
      h("p", { class: "quiet", id: "sign-in-hint" }, "One of ", h("code", null, "host.admin.tokens"), ". It is kept in this tab until it is closed."),
      h("div", { class: "buttons" }, h("button", { class: "primary" }, "Sign in"))));

const sign = {
  async "sign-in"(form) {
    api.token.keep(form.elements.token.value.trim());
    form.reset();
    await turn();
    if (host.failed?.unknown) say("The host does not know that token.", "bad");
    else heading();
  },
  async "sign-out"() {
    api.token.forget();
    host.status = null;
    await turn();
  },
};

function facts(status) {
  const answering = at("answering");
  const [kind, word] = host.failed?.unknown ? ["idle", "signed out"] : host.failed ? ["bad", "no answer"] : status ? ["ok", "live"] : ["idle", "connecting"];
  if (answering.textContent !== word) answering.textContent = word;
  answering.className = `health ${kind}`;
  at("sign-out").hidden = !api.token.get();
  const pair = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));
  show(at("facts"), !status ? [] : [pair("Version", status.version), pair("Up", span(status.uptime_seconds)), pair("Generation", count(status.generation))]);
}

function notices(status) {
  const notice = (key, kind, title, ...text) =>
    h("div", { class: `notice ${kind}`, role: "alert", "data-key": key }, h("p", { class: "title" }, title), ...text);
  const { refused, journal, problems } = status || {};
  // The overview lists every problem itself.
  const told = page === overview && problems;
  return [
    host.failed && !host.failed.unknown && notice("unanswered", "bad", "The host does not answer", h("p", null,
      `${host.failed.message}; asking again. `, host.answeredAt && ["What is shown is from ", moment(host.answeredAt), "."])),
    !told && journal?.writable?.Err && notice("unwritable", "bad", "The journal cannot be written, senders get 503", h("pre", null, journal.writable.Err)),
    !told && status && !status.enabled && notice("disabled", "warn", "Events are accepted and dropped",
      h("p", null, "Set ", h("code", null, "events.enabled: true"), " in the settings file to publish them.")),
    refused && notice("refused", "bad", "The last change was refused",
      h("p", null, "Generation ", count(status.generation), " goes on. Refused at ", moment(refused.at_ms), ":"),
      refused.problems.map((text) => h("pre", null, text))),
  ];
}

// What is asked

let timer = 0;
let failures = 0;
let turns = 0;
let turning = null;

async function ask() {
  const [status, text] = await Promise.all([api.get("/api/v1/status"), api.text("/metrics")]);
  metrics.note(text, status.rates);
  history.note(status);
  Object.assign(host, { status, answeredAt: Date.now(), failed: null });
  failures = 0;
  redraw();
  await page.load?.(context);
}

/** One turn at a time, however often it is asked for. */
function turn() {
  clearTimeout(timer);
  turning ??= ask()
    .catch((problem) => {
      if (!(problem instanceof api.Problem)) console.error(problem);
      host.failed = problem;
      // Whoever may not look is shown nothing of what was seen before.
      if (problem.unknown) host.status = null;
      failures += 1;
    })
    .finally(() => {
      turning = null;
      redraw();
      turns += 1;
      const pause = turns === 1 ? SECOND_MS : Math.min(EVERY_MS * 2 ** failures, LONGEST_MS);
      if (!document.hidden) timer = setTimeout(turn, pause);
    });
  return turning;
}

// A page that nobody sees asks nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : turn()));

// What people do

const acting = async (act, element) => {
  if (!act) return;
  try {
    await act(element, context);
  } catch (problem) {
    if (!(problem instanceof api.Problem)) throw problem;
    say(problem.unsupported ? "This host cannot do that yet." : problem.message, "bad");
  }
  redraw();
};

at("page").addEventListener("click", (event) => {
  const element = event.target.closest("[data-act]");
  if (element && element.type !== "submit") acting(page.actions?.[element.dataset.act], element);
});
at("page").addEventListener("submit", (event) => {
  event.preventDefault();
  const { act } = event.target.dataset;
  acting(sign[act] || page.actions?.[act], event.target);
});
at("sign-out").addEventListener("click", () => acting(sign["sign-out"]));

let silence = 0;

/** Says something once, to eyes and ears. */
function say(text, kind = "ok") {
  clearTimeout(silence);
  const said = at("said");
  said.className = `said shown ${kind}`;
  show(said, h("p", null, text));
  silence = setTimeout(() => {
    said.className = "said";
    show(said);
  }, 8_000);
}

/** Asks before something that cannot be undone, or that changes what events go through. */
function confirm({ title, text, yes }) {
  const ask = at("ask");
  show(at("ask-title"), title);
  show(at("ask-text"), text);
  show(at("ask-yes"), yes);
  ask.returnValue = "no";
  ask.showModal();
  return new Promise((resolve) => ask.addEventListener("close", () => resolve(ask.returnValue === "yes"), { once: true }));
}

route();
turn();
