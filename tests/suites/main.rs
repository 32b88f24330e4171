//! End-to-end suites, one module a subject, in one program so that it links once.
