"""Load against real servers; see ``loadtests.bench`` and docs/performance.md."""
