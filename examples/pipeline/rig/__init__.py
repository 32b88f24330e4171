"""Real parts, each a process of its own on a free loopback port: what the pipeline and the stages' tests run on."""
