// Stamps events with an extension attribute, and removes fields from JSON data.

import { Permanent, transform } from "./stagewire/index.js";

export default transform({
  settings: {
    type: "object",
    properties: {
      stamp: { type: "string", minLength: 1 },
      remove: { type: "array", items: { type: "string" } },
    },
    required: ["stamp"],
    additionalProperties: false,
  },

  configure: ({ stamp, remove = [] }) => (event, out) => {
    const draft = out.edit(event).set("stamp", stamp);
    if (remove.length === 0 || event.datacontenttype !== "application/json") return;
    const data = event.json();
    if (data === null || typeof data !== "object" || Array.isArray(data)) {
      throw new Permanent("data is not a JSON object");
    }
    draft.setJson(Object.fromEntries(Object.entries(data).filter(([name]) => !remove.includes(name))));
  },
});
