// The host's admin API. Errors are what the host says, in words.

const PATIENCE_MS = 10_000;
const KEPT = "stagewire-token";

/** The token that lets people in, where the host asks for one. It goes with the tab. */
export const token = {
  get: () => sessionStorage.getItem(KEPT) || "",
  keep: (text) => sessionStorage.setItem(KEPT, text),
  forget: () => sessionStorage.removeItem(KEPT),
};

export class Problem extends Error {
  constructor(status, text, problems = [], kind = "") {
    super(text || `the host answered ${status}`);
    Object.assign(this, { status, problems, kind });
  }

  /** This host has no such endpoint, which is not to say that a thing is not there. */
  get unsupported() {
    return this.status === 404 && this.kind.endsWith(":nothing-here");
  }

  /** The host asks for a token, or does not know the one that it got. */
  get unknown() {
    return this.status === 401;
  }
}

async function ask(path, { headers = {}, ...options } = {}) {
  let answer;
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), headers, ...options });
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
    const { type, title, detail, problems } = JSON.parse(text);
    return new Problem(answer.status, detail || title, problems || [detail || title], type);
  }
  return new Problem(answer.status, text.trim());
}

export const get = async (path) => (await ask(path)).json();
export const text = async (path) => (await ask(path)).text();
export const post = async (path, body, type = "application/json") => {
  const headers = body === undefined ? {} : { "content-type": type };
  return (await ask(path, { method: "POST", headers, body })).json();
};

/** The values of a stream of server-sent events, to its end. `EventSource` could not send a token. */
export async function* stream(path, signal) {
  const answer = await ask(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const messages = (rest + value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) {
      const lines = message.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}

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
