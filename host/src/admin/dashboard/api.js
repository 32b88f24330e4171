// The host's admin API. Errors are what the host says, in words.

const PATIENCE_MS = 10_000;

export class Problem extends Error {
  constructor(status, text, problems = []) {
    super(text || `the host answered ${status}`);
    Object.assign(this, { status, problems, silent: !text });
  }

  /** This host has no such endpoint: it says nothing more, as it does of a thing that is not there. */
  get unsupported() {
    return this.status === 404 && this.silent;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(0, late ? `the host has not answered within ${PATIENCE_MS / 1000} s` : "the host does not answer");
  }
  if (answer.ok) return answer;
  throw await problemOf(answer);
}

async function problemOf(answer) {
  const text = await answer.text().catch(() => "");
  if ((answer.headers.get("content-type") || "").includes("problem+json")) {
    const { title, detail, problems } = JSON.parse(text);
    return new Problem(answer.status, detail || title, problems || [detail || title]);
  }
  return new Problem(answer.status, text.trim());
}

export const get = async (path) => (await ask(path)).json();
export const text = async (path) => (await ask(path)).text();
export const post = async (path, body, type = "application/json") => {
  const headers = body === undefined ? {} : { "content-type": type };
  return (await ask(path, { method: "POST", headers, body })).json();
};

/** `?a=1&b=2` of what has a value. */
export const query = (fields) => {
  const given = Object.entries(fields).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

/** What an endpoint said last. Asks no oftener than every so many milliseconds, one request at a time. */
export class Source {
  constructor(path, everyMs) {
    Object.assign(this, { path, everyMs, data: null, problem: null, due: 0, asking: false });
  }

  async refresh() {
    if (this.asking || Date.now() < this.due) return;
    this.asking = true;
    try {
      this.data = await get(this.path);
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    } finally {
      this.asking = false;
      this.due = Date.now() + (this.problem?.unsupported ? 60_000 : this.everyMs);
    }
  }

  /** Asks again at the next occasion: something was changed. */
  stale() {
    this.due = 0;
  }

  get unsupported() {
    return Boolean(this.problem?.unsupported);
  }
}
