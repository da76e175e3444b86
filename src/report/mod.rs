//! Numbers for people and CI: what an image holds, and what changed.
