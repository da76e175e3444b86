//! The language of buildspecs: what it means, what it refuses, and that its pages say the same.

mod bad_specs;
mod docs;
mod hostile;
mod meaning;
mod memory;
mod schema;
mod selection;
