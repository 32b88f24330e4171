//! TypeScript: as JavaScript, by the types of its SDK. esbuild leaves the types out; `npm run check` looks at them.

use super::{Language, files, javascript};

pub(super) const TYPESCRIPT: Language = Language {
    name: "typescript",
    mark: "plugin.ts",
    filter: files!("examples/plugins/typescript/filter": "package.json", "tsconfig.json", "plugin.ts", "plugin.test.ts"),
    transform: files!("examples/plugins/typescript/transform": "package.json", "tsconfig.json", "plugin.ts", "plugin.test.ts"),
    sdk: javascript::SDK,
    sdk_of_examples: "",
    next: &["npm install", "npm test", "npm run check"],
    build: |project| javascript::build(project, "plugin.ts"),
};
