//! Words on the screen, flags, exit codes.
