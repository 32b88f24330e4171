// What goes wrong, and whether trying again can help.

export class Refused extends Error {
  name = "Refused";
}

export class Permanent extends Error {
  name = "Permanent";
}

export class Transient extends Error {
  name = "Transient";
}

/** Calls the host, and makes a `Permanent` of its refusal. */
export function attempt(call) {
  try {
    return call();
  } catch (error) {
    const reason = error?.payload ?? error;
    throw new Permanent(typeof reason === "string" ? reason : (reason?.tag ?? "the host refused it"));
  }
}
