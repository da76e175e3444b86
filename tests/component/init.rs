//! What init knows apart from the kernel.

use crate::probe::dial;

#[expect(dead_code, reason = "the program's own main is not here")]
#[path = "../../src/component/init/options.rs"]
mod options;
