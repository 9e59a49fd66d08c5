"""The map language: its grammar, syntax tree, diagnostics, parser and formatter. Imports no other folder."""
