// What the host offers to every plugin. In a test, log lines go to standard error and the rest is left out.

export const interfaces = {
  host: {
    log: (level, message) => console.error(`${level}: ${message}`),
    count: () => {},
    observe: () => {},
    now: () => BigInt(Date.now()) * 1_000_000n,
  },
  keyvalue: undefined,
};

export const log = (message, level = "info") => interfaces.host.log(level, message);

export const count = (name, by = 1) => interfaces.host.count(name, BigInt(by));

export const observe = (name, value) => interfaces.host.observe(name, value);

export const now = () => interfaces.host.now();
