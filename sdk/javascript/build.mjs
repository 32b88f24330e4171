// Written by `stagewire plugin build` into the project's target/ and run there by node: bundles the plugin with its entry,
// and makes a component of the bundle. Arguments: the world, the WIT file, the component to write.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { componentize } from "@bytecodealliance/componentize-js";
import esbuild from "esbuild";

const [world, witPath, output] = process.argv.slice(2);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

await esbuild.build({
  entryPoints: [here("entry.js")],
  outfile: here("plugin.bundle.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  external: ["stagewire:*"],
  logLevel: "warning",
});
const { component } = await componentize({
  sourcePath: here("plugin.bundle.js"),
  witPath,
  worldName: world,
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
await writeFile(output, component);
