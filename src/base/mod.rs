//! What images stand on: the built-in base, root file systems, layouts and archives, with their facts.
