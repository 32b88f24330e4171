// Keeps events whose type starts with a prefix and that have a subject.

import { drop, filter, keep } from "./stagewire/index.js";

interface Settings {
  prefix: string;
}

export default filter<Settings>({
  settings: {
    type: "object",
    properties: { prefix: { type: "string", minLength: 1 } },
    required: ["prefix"],
    additionalProperties: false,
  },

  configure: ({ prefix }) => (event) => {
    const { type } = event;
    if (!type.startsWith(prefix)) return drop(`type ${type} does not start with ${prefix}`);
    if (event.subject === undefined) return drop("no subject");
    return keep;
  },
});
